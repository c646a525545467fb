"""More ways of telling and asking facts about pets and people; the everyday wordings beside the plain ones.

Promises: every telling has exactly one placeholder ({value}, for jobs and breeds {a_value} or {value}); no
question has any; the noun, or an obvious other word for it, is in every telling and question.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from training.data.synthetic.values import with_article

_Patterns = tuple[str, ...]

# In the patterns, {noun} is who or what it is about, {a_noun} the same with its article, {short} another
# everyday word for it ({noun} itself where there is none); a second such word takes its turn.

_SHORT: Final[dict[str, tuple[str, ...]]] = {
    "sister": ("sis", "sister"), "brother": ("bro", "brother"), "mother": ("mum", "mom"), "father": ("dad",),
    "wife": ("wife", "missus"), "husband": ("hubby", "husband"), "girlfriend": ("girlfriend", "gf"),
    "boyfriend": ("boyfriend", "bf"), "son": ("lad", "son"), "daughter": ("little girl", "daughter"),
    "best friend": ("bestie", "best mate", "bff"), "neighbour": ("neighbor", "next-door neighbour"),
    "grandmother": ("grandma", "nan", "granny"), "grandfather": ("grandad", "grandpa"),
    "aunt": ("auntie",), "cousin": ("cousin", "cuz"), "colleague": ("coworker", "workmate"),
    "roommate": ("flatmate", "housemate"), "babysitter": ("sitter",), "hairdresser": ("hair stylist",),
    "doctor": ("GP", "doc"), "boss": ("manager", "boss"), "mechanic": ("car mechanic",), "dog": ("pup", "doggo"),
    "cat": ("kitty", "cat"), "rabbit": ("bunny",), "hamster": ("hammy", "hamster"), "guinea pig": ("piggy",),
    "budgie": ("budgie", "little bird"), "chicken": ("hen",), "parrot": ("bird", "parrot"),
}  # fmt: skip


def _filled(patterns: Iterable[str], noun: str) -> _Patterns:
    """The patterns with the noun and its other words in place."""
    shorts = _SHORT.get(noun, (noun,))
    return tuple(
        dict.fromkeys(
            pattern.replace("{noun}", noun)
            .replace("{a_noun}", with_article(noun))
            .replace("{short}", shorts[i % len(shorts)])
            for i, pattern in enumerate(patterns)
        )
    )


# --- Pets ---

_PET_TELL: Final = (
    "Say hi to {value}, my {noun}!",
    "{value}'s my {noun} btw",
    "I call my {noun} {value}.",
    "we adopted {a_noun} and decided on the name {value}",
    "Meet {value}, the newest member of the family. Yes, I got myself {a_noun}.",
    "After arguing for a week we finally settled on {value} for the {noun}.",
    "i gotta run, {value} is hungry. thats my {noun}",
    "The kids wanted to name the {noun} after a superhero, but in the end it became {value}.",
    "Sorry for the late reply, I was cleaning up after {value}. Having {a_noun} is a lot of work.",
    "There's {a_noun} in my life, and {value} is what everybody calls it.",
    "so my {short}, {value}, made a huge mess today",
    "The vet had a look at {value} this morning and says my {noun} is perfectly healthy.",
    "Can you believe it, {value} is two today! We baked something special for our {noun}.",
    "My daughter drew a picture of our {noun} and wrote {value} under it in big letters.",
    "dont laugh but my {noun} is named {value}",
    "Nobody understands me like {value} does, and that's {a_noun}!",
    "I live alone, well, except for my {noun} {value}.",
    "{value}, that's how my {noun} is registered at the vet's.",
    "I've got {a_noun} at home that goes by {value}.",
    "At our place the real boss is {value} the {noun}.",
    "We're off on holiday next week and I still need someone to feed {value}, our {noun}.",
    "my {short} {value} keeps me company while i work",
    "Took about forty photos of {value} today, as one does with a cute {noun}.",
    "It was my grandma who picked the name {value} for our {noun}.",
    "My {noun} came with a silly name, so I changed it to {value}.",
    "I miss {value} so much when I'm travelling. It's hard to leave {a_noun} behind.",
    "If you hear strange noises, that's only {value}, my {noun}.",
    "yesterday i brought home {a_noun}!! named it {value}",
)  # fmt: skip
_PET_TELL_FURRY: Final = (
    "so my {noun}, {value}, chewed the sofa",
    "{value} fell asleep on my lap again, so I can't get up. The life of {a_noun}!",
    "ugh, fur everywhere. thanks {value}, worlds fluffiest {noun}",
)  # fmt: skip
_PET_TELL_STABLE: Final = (
    "I was mucking out the stable all morning for my {noun} {value}.",
    "Lovely ride today! {value} was in a great mood, I really have the best {noun}.",
    "there's {a_noun} in the field behind our house, thats {value} and it belongs to me",
)  # fmt: skip
_PET_TELL_OWN: Final[dict[str, _Patterns]] = {
    "dog": ("The puppy finally has a name: {value}!", "taking {value} out for walkies, the dog cant wait any longer",
            "Our pup answers to {value}, when he feels like it.",
            "It rained all through our walk and now {value} smells like, well, a wet dog. My dog, I mean."),
    "cat": ("My kitty only comes when I shake the treats and shout {value}.",
            "The kitten we took in last week got the name {value}.",
            "{value} knocked another glass off the table. Typical cat of mine."),
    "parrot": ("I taught my parrot to introduce itself: hello, I am {value}!",
               "My parrot can say its own name now, {value}!",
               "the parrot is swearing again, i'm so sorry, {value} picked it up from the tv"),
    "hamster": ("{value} got out of the cage and it took us hours to catch the little hamster.",),
    "rabbit": ("{value} has dug up half the lawn. My bunny is a proper excavator.",),
    "goldfish": ("I won a goldfish at the fair and named it {value}.",
                 "There's only one fish in my bowl, a goldfish by the name of {value}."),
    "tortoise": ("My tortoise is older than me, and it has been {value} ever since my grandad got it.",),
    "guinea pig": ("The small squeaky one is {value}, my guinea pig.",),
    "budgie": ("{value} has been singing since six in the morning. My budgie is no late sleeper.",),
    "snake": ("I keep a snake, don't panic, {value} wouldn't hurt a fly.",
              "feeding day for {value} today! my snake is always thrilled about that"),
    "ferret": ("Socks keep disappearing and I bet it's {value}, my ferret.",),
    "chicken": ("Of all the hens, {value} is my own chicken.",
                "Got an egg from my chicken this morning, well done {value}!"),
}  # fmt: skip
_PET_ASK: Final = (
    "name of my {noun}?",
    "my {noun}'s name?",
    "I'm filling in a form for the vet. What's my {noun}'s name?",
    "I want to call my {noun} over, which name do I call?",
    "who's my {noun} again?",
    "what do i call my {noun}",
    "My friend is asking how we named the {noun}. What should I tell her?",
    "Which name did I give my {noun}?",
    "I've mentioned my {noun} to you. By what name?",
    "How is my {noun} called, again?",
    "whats my {short} called again",
    "Someone wants to write a card to my {noun}. Which name goes on it?",
    "I'm ordering a name tag for my {noun}. What should be engraved on it?",
    "You know the {noun} I live with? Give me the name.",
    "My {noun} goes by what name?",
    "Help me out, my mind is blank: my {noun}, the name?",
    "uh what was my {short}'s name",
    "I bet you can't tell me the name of my {noun}.",
    "To what name does my {noun} answer?",
    "Right, pop quiz about my pets. The {noun} is called...?",
    "Who is it that I feed every morning? I mean my {noun}.",
    "The sitter is coming and needs to know how to address the {noun}. So?",
    "Say my {noun}'s name!",
    "What name did we pick for our {noun}?",
    "If I told you a story about my {noun}, what would the main character be called?",
    "how did i name that {noun} of mine?",
    "There's {a_noun} in my house, as you know. Named what?",
    "Remind me what our {noun} is called, would you?",
)  # fmt: skip
_PET_ASK_OWN: Final[dict[str, _Patterns]] = {
    "dog": ("I want to shout for my dog in the park, what do I shout?", "whos a good boy? say my dogs name",
            "What's the puppy's name?"),
    "cat": ("I'm standing at the door with a bowl of food, which name do I shout for my cat?", "my kitty's name?"),
    "parrot": ("Polly wants a cracker, but my parrot isn't a Polly. What is its name?",),
    "rabbit": ("the bunny, whats its name?",),
    "goldfish": ("What's the name of the fish in my bowl? The goldfish.",),
    "chicken": ("Which hen is mine? I'm after my chicken's name.",),
    "horse": ("Which name should I write on the stable door for my horse?",),
    "pony": ("Which name should I write on the stable door for my pony?",),
}  # fmt: skip
_FURRY: Final = ("dog", "cat", "hamster", "rabbit", "guinea pig", "ferret")
_STABLE: Final = ("horse", "pony", "donkey")
_FEATHERED_AND_SCALED: Final = ("parrot", "goldfish", "tortoise", "budgie", "snake", "chicken")

# --- People's names ---

_NAME_TELL: Final = (
    "{value} is my {noun}, in case I mention that name again.",
    "so {value}, thats my {noun}, just texted me",
    "I'd better introduce you: {value}, my {noun}.",
    "Whenever I say {value}, I'm talking about my {noun}.",
    "Just got off the phone with my {noun}. {value} always has so much to say!",
    "my {short} {value} made me laugh so hard today",
    "I ran into {value} at the supermarket, you know, my {noun}.",
    "You'd like my {noun}. {value} is a really kind soul.",
    "Tomorrow I'm meeting {value}, who happens to be my {noun}.",
    "My {noun}, whose name is {value}, gave me the best advice ever.",
    "had a fight with {value} again. why is my {noun} like this",
    "It was {value} who said that, my {noun}, not me!",
    "The person I was complaining about is my {noun}, {value}.",
    "With {value} around as my {noun}, there's never a dull moment.",
    "My {noun} answers to {value}.",
    "i owe my {short} an apology. i hope {value} isnt too cross with me",
    "This morning {value} came by. That's my {noun}, by the way, so you know who's who.",
    "Do you think {value} is a good name? My {noun} has it.",
    "I've been thinking about my {noun} a lot lately. Did you know {value} can play the accordion?",
    "{value}... yes, that is what my {noun} is called.",
    "If somebody named {value} calls, it's my {noun}.",
    "got a voice message from {value} (my {noun}) that was eleven minutes long",
    "We bumped into my {noun} in town and ended up having coffee, {value} paid for everyone.",
    "Nobody tells a story like my {noun} {value}.",
    "ok so theres this person {value} in my life, my {short}, and wow",
    "I nearly called my {noun} by the wrong name today, and {value} wasn't amused.",
)  # fmt: skip
_NAME_TELL_HOME: Final = (
    "We all went bowling and my {short} won. Congratulations, {value}!",
    "I look nothing like {value}, although people keep telling me how close I am to my {noun}.",
    "Everyone in our circle knows {value}. That's my {short}, the loud one.",
    "I'm knitting a scarf for {value}, it's a present for my {noun}.",
    "There's a photo of {value} on my desk. I love my {noun} to bits.",
)  # fmt: skip
_NAME_TELL_WORK: Final = (
    "The name on the door says {value}, that's my {noun}.",
    "I've finally found {a_noun} I trust, {value}.",
    "Got an email from {value} this morning. My {noun} wants to move our appointment.",
    "in my phone my {noun} is saved as {value}",
    "I can really recommend {value} if you ever need {a_noun}, well, mine is great.",
)  # fmt: skip
_NAME_TELL_HAVING: Final = (
    "I've got {a_noun}, {value}.",
    "There's also {value}, who is {a_noun} of mine.",
)  # fmt: skip
_NAME_TELL_OWN: Final[dict[str, _Patterns]] = {
    "mother": ("They named my mother {value}, after her own grandmother, and she never liked it.",
               "My parents chose well: my mom {value} is the calm one."),
    "father": ("My dad is {value}, named after a saint like every man in our family.",),
    "wife": ("I married {value} in a tiny chapel. Best wife anyone could wish for.",
             "I said yes to forever with {value}, and she's been my wife ever since."),
    "husband": ("I married {value} in a tiny chapel, and he's still the best husband.",
                "My other half, meaning my husband, is {value}."),
    "girlfriend": ("I'm going out with {value}, so I finally have a girlfriend!",),
    "boyfriend": ("I'm going out with {value}, so I finally have a boyfriend!",),
    "son": ("We named our son {value}.", "It's a boy! Our son will be called {value}."),
    "daughter": ("We named our daughter {value}.", "It's a girl! Our daughter will be called {value}."),
    "teacher": ("At school we have {value} as a teacher this year.",),
    "boss": ("At work I report to {value}, who is my boss.",),
    "niece": ("My brother's little girl is {value}, so that's my niece.",),
    "nephew": ("My sister's little boy is {value}, so that's my nephew.",),
    "roommate": ("I share a flat with {value}. As a roommate you couldn't ask for better.",),
    "neighbour": ("The flat next to mine belongs to {value}, my neighbour.",),
    "landlord": ("The house I rent is owned by {value}, that's my landlord.",),
}  # fmt: skip
_NAME_ASK: Final = (
    "name of my {noun}?",
    "my {noun}'s name?",
    "who's my {noun} again?",
    "whos my {short}",
    "Who is my {noun}?",
    "I'm writing an invitation to my {noun}. Which name do I put on the envelope?",
    "What name does my {noun} go by?",
    "I mentioned my {noun} by name, didn't I? What was it?",
    "Somebody just asked me who my {noun} is. What do I answer?",
    "Ugh, brain fog today. My {noun} is called what?",
    "what was my {noun}s name again",
    "You've heard me talk about my {noun}. Who is that?",
    "Which name belongs to my {noun}?",
    "I need to save my {noun}'s number under the right name. Which one?",
    "Who did I say my {noun} was?",
    "Finish the sentence: my {noun} is called ...",
    "give me the name of my {short}",
    "I'm making a list of everyone I know. Under \"{noun}\", who goes there?",
    "By what name do you know my {noun}?",
    "How do I introduce my {noun} at the party, by name I mean?",
    "and my {short}? name?",
    "When I talk about my {noun}, which person do I mean?",
    "If my {noun} walked in right now, what name would I say?",
    "Let's go over the people in my life. Who's my {noun}?",
    "could u remind me how my {noun} is called",
    "I'm signing a card for my {noun}. Dear who?",
    "Is there a name you have for my {noun}? Which?",
)  # fmt: skip

# --- Jobs ---

_JOB_TELL: Final = (
    "My {noun} earns a living as {a_value}.",
    "my {noun} is employed as {a_value}",
    "As {a_value}, my {noun} has to get up terribly early.",
    "My {noun} came home exhausted again. Being {a_value} takes it out of you.",
    "For years now my {noun} has been making money as {a_value}.",
    "my {short} is {a_value} btw",
    "By profession my {noun} is {a_value}.",
    "I could never do my {noun}'s job. Imagine being {a_value} all day!",
    "Since my {noun} is {a_value}, we get to hear the wildest stories at dinner.",
    "if you need {a_value}, ask my {noun}, thats literally the job",
    "My {short} trained for ages to become {a_value} and now does it full time.",
    "Of everyone I know, only my {noun} has a proper career, as {a_value}.",
    "{a_value}, that's what it says on my {noun}'s business card.",
    "Working as {a_value} suits my {noun} really well.",
    "People are always surprised that my {noun} is {a_value}.",
    "my {noun} just got promoted!! not bad for {a_value}",
    "When you ask my {noun} about work you get an hour on the daily life of {a_value}.",
    "My {noun} pays the bills by working as {a_value}.",
    "Long hours, bad coffee, and still my {noun} loves being {a_value}.",
    "They took my {short} on as {a_value}, starting pay isn't great though.",
    "I went to see my {noun} at work today. Life as {a_value} looks tough.",
)  # fmt: skip
_JOB_ASK: Final = (
    "my {noun}'s job?",
    "job of my {noun}?",
    "what kind of work does my {noun} do",
    "How does my {noun} make money?",
    "What's my {noun}'s profession?",
    "I'm filling in a form about my family and friends. Occupation of my {noun}?",
    "Where work is concerned, what is my {noun}?",
    "what does my {short} do again, like for work",
    "Someone asked me what my {noun} does all day at work. What do I say?",
    "How does my {noun} earn a living?",
    "My {noun} goes to work every morning, as what?",
    "What line of work is my {noun} in?",
    "Which job did I say my {noun} has?",
    "what would it say on my {noun}'s business card?",
    "In what profession does my {noun} work?",
    "My {noun} complains about work a lot. What was the job again?",
    "tell me my {short}'s occupation",
    "I need to describe my {noun}'s work in one word. Which word?",
    "What is my {noun} by trade?",
    "How does my {noun} pay the bills?",
    "whats my {noun} working as these days",
)  # fmt: skip

# --- Cities ---

_CITY_TELL: Final = (
    "My {noun} is based in {value}.",
    "you'll find my {noun} in {value}",
    "I'm packing for {value}, where my {noun} lives.",
    "{value} is where my {noun} calls home.",
    "Just booked a train to {value}. Can't wait to see my {noun} at home there!",
    "My {noun} settled in {value} a while ago.",
    "my {short} lives all the way over in {value}",
    "It's snowing in {value}, my {noun} tells me from the kitchen window.",
    "I don't see my {noun} much. {value} is just too far to drive for a weekend.",
    "Every parcel I send to my {noun} goes to an address in {value}.",
    "if i ever visit {value} ill stay at my {noun}s place",
    "Rents in {value} are crazy, just ask my {noun}, who has to pay one.",
    "My {short} wouldn't leave {value} for all the money in the world, it's home.",
    "Living in {value} has been good for my {noun}.",
    "We spent the holidays at my {noun}'s house in {value}.",
    "The city of {value} has one famous resident: my {noun}. Just kidding about the famous part.",
    "my {noun} resides in {value} nowadays",
    "Over the years I've got to know {value} well, since my {noun} lives there.",
    "My {noun} loves the neighbours, the flat, everything about life in {value}.",
)  # fmt: skip
_CITY_ASK: Final = (
    "my {noun}'s city?",
    "where's my {noun} based?",
    "wheres my {short} living again",
    "I want to visit my {noun}. Which city do I travel to?",
    "Which place does my {noun} call home?",
    "I'm addressing a parcel to my {noun}. What city do I write?",
    "In what city would I find my {noun}?",
    "what city is my {noun} in",
    "Where would I have to go to knock on my {noun}'s door?",
    "city where my {noun} lives?",
    "I'm looking at train tickets to see my {noun}. What's the destination?",
    "Where did I say my {noun} lives?",
    "Which town is home to my {noun}?",
    "Where on the map is my {noun}?",
    "I want to check the weather at my {noun}'s place. Which city should I look up?",
    "so my {short} lives where exactly?",
    "What's the name of the city my {noun} lives in?",
    "My {noun} has a home somewhere. Where?",
    "whereabouts does my {noun} live these days",
)  # fmt: skip

# --- Ages ---

_AGE_TELL: Final = (
    "There were {value} candles on my {noun}'s cake this year.",
    "my {noun} is {value} now",
    "Would you believe that my {noun} is {value} years of age?",
    "At {value}, my {noun} still thinks cartoons are the best thing on TV.",
    "my {short} just hit {value}, time flies",
    "My {noun} celebrated a birthday on Sunday, number {value}.",
    "{value}! That's how old my {noun} is already.",
    "You wouldn't guess it from the photos, but my {noun} is {value}.",
    "I got my {noun} a balloon shaped like the number {value}, to match the age.",
    "My {noun} has {value} years on the clock and plenty of energy left.",
    "since last week my {noun} is officially {value} years old",
    "My {short} said {value} is the perfect age to be.",
    "Being {value} doesn't stop my {noun} from dancing in the kitchen.",
    "We threw a party because my {noun} turned {value}.",
    "I feel ancient. My {noun} is {value} already!",
    "My {noun}, aged {value}, beat me at chess this afternoon.",
    "{value} years ago my {noun} was born.",
)  # fmt: skip
_AGE_ASK: Final = (
    "my {noun}'s age?",
    "age of my {noun}?",
    "How many candles go on my {noun}'s cake this year?",
    "how old did i say my {noun} was",
    "How many years old is my {noun}?",
    "The form wants my {noun}'s age. What number do I put down?",
    "What age has my {noun} reached?",
    "how old is my {short}, in years?",
    "I'm buying a card with a number on it for my {noun}. Which number?",
    "Can you give me the age of my {noun} in years?",
    "Somebody asked how old my {noun} is and I hesitated. What's right?",
    "how many birthdays has my {noun} had",
    "My {noun} is how old now?",
    "just how old is my {short}?",
    "In years, how old would you say my {noun} is, going by what I told you?",
    "What number birthday was my {noun}'s last one?",
    "For how many years has my {noun} been on this planet?",
)  # fmt: skip

# --- Birthdays ---

_BIRTHDAY_TELL: Final = (
    "Every year on {value} we sing for my {noun}, it's the big birthday.",
    "{value} is my {noun}'s birthday",
    "I've circled {value} in red on the calendar, because my {noun} has a birthday.",
    "My {noun} blows out the candles on {value}.",
    "my {short}'s bday is {value}",
    "If I forget {value} again, my {noun} will never forgive me. Birthdays matter in our house!",
    "We're having cake on {value}, since that's the day my {noun} was born.",
    "My {noun} came into the world on {value}.",
    "I can't come on {value}, sorry, that's my {noun}'s birthday party.",
    "On {value} my {noun} gets a year older.",
    "gotta buy wrapping paper, my {short}'s birthday falls on {value}",
    "The date of birth of my {noun} is {value}, leaving out the year.",
    "Don't let me plan anything for {value}, my {noun} celebrates getting older that day.",
    "Still no idea what to give my {noun}. The birthday is {value}, so I should hurry.",
    "{value} is a holiday in my book, as it gave us my {noun}. Best birthday ever!",
    "my {noun}s birthday?? its {value}, i wrote it on my hand",
    "There was a thunderstorm on {value} when my {noun} was born.",
)  # fmt: skip
_BIRTHDAY_ASK: Final = (
    "my {noun}'s birthday?",
    "birthday of my {noun}?",
    "when's my {short}'s bday",
    "What date is my {noun}'s birthday?",
    "I'm putting birthdays in my calendar. Which date for my {noun}?",
    "On what day should I congratulate my {noun}?",
    "When do I have to have a birthday present ready for my {noun}?",
    "when does my {noun} turn a year older",
    "Which day of the year do we celebrate my {noun}?",
    "What's my {noun}'s date of birth?",
    "I don't want to miss my {noun}'s big day. What date is the birthday?",
    "by when do i need a birthday card for my {short}?",
    "For what date should I order my {noun}'s birthday cake?",
    "My {noun} has a birthday coming up at some point. When, exactly?",
    "when do we sing happy birthday for my {noun}",
    "Which date did I give you for my {noun}'s birthday?",
    "When does my {noun} blow out the candles?",
)  # fmt: skip

# --- The dog's breed ---

_BREED_TELL: Final = (
    "People in the park keep stopping us, my dog is {a_value} and they've never seen one.",
    "my dogs {a_value} btw",
    "The breeder let us take home the last pup of the litter, so now we own {a_value}.",
    "Our dog sheds like mad, but what do you expect from {a_value}.",
    "As far as breeds go, my dog is a pure {value}.",
    "{a_value}, that's what kind of dog I have.",
    "I share my couch with {a_value}. Best dog in the world.",
    "We couldn't agree on which dog to get, and then {a_value} stole our hearts.",
    "at the dog school ours was the only {value} in the group",
    "Looking for a dog, we fell for {a_value} and took it home the same day.",
    "My pup may look like a mix, but the papers say {value}.",
)  # fmt: skip
_BREED_ASK: Final = (
    "my dog's breed?",
    "breed of my dog?",
    "what sort of dog have i got",
    "The insurance wants to know the breed of my dog. What do I put?",
    "Somebody in the park asked what my dog is. What's the breed?",
    "Which breed does my dog belong to?",
    "What type of dog is mine?",
    "whats my dog, breed wise",
    "I'm reading about dog breeds. Which chapter is about mine?",
    "What breed did I say our dog was?",
    "My pup is a what, exactly? The breed, I mean.",
)  # fmt: skip

_AT_HOME: Final = (
    "sister", "brother", "mother", "father", "wife", "husband", "girlfriend", "boyfriend", "son", "daughter",
    "best friend", "grandmother", "grandfather", "aunt", "uncle", "cousin", "niece", "nephew",
)  # fmt: skip
_AT_WORK: Final = ("doctor", "dentist", "hairdresser", "coach", "babysitter", "therapist", "mechanic")
_OTHERS: Final = ("boss", "teacher", "neighbour", "colleague", "roommate", "landlord")
_HAVING: Final = (
    "sister", "brother", "son", "daughter", "aunt", "uncle", "cousin", "niece", "nephew", "neighbour", "colleague",
    "roommate",
)  # fmt: skip

_JOBS: Final = (
    "sister", "brother", "mother", "father", "wife", "husband", "son", "daughter", "best friend", "neighbour",
)  # fmt: skip
_CITIES: Final = (
    "sister", "brother", "mother", "father", "son", "daughter", "best friend", "cousin", "grandmother",
)  # fmt: skip
_AGES: Final = (
    "sister", "brother", "mother", "father", "son", "daughter", "grandmother", "husband", "wife",
)  # fmt: skip
_BIRTHDAYS: Final = (
    "sister", "brother", "mother", "father", "wife", "husband", "best friend", "son", "daughter",
)  # fmt: skip


def _pet_tell(animal: str) -> _Patterns:
    more = _PET_TELL_FURRY if animal in _FURRY else _PET_TELL_STABLE if animal in _STABLE else ()
    return (*_PET_TELL, *more, *_PET_TELL_OWN.get(animal, ()))


def _name_tell(noun: str) -> _Patterns:
    more = _NAME_TELL_HOME if noun in _AT_HOME else _NAME_TELL_WORK if noun in _AT_WORK else ()
    having = _NAME_TELL_HAVING if noun in _HAVING else ()
    return (*_NAME_TELL, *more, *having, *_NAME_TELL_OWN.get(noun, ()))


def _family(what: str, nouns: Sequence[str], tell: _Patterns, ask: _Patterns) -> dict[str, tuple[_Patterns, _Patterns]]:
    return {f"{noun.replace(' ', '_')}_{what}": (_filled(tell, noun), _filled(ask, noun)) for noun in nouns}


PEOPLE_PHRASINGS: Final[dict[str, tuple[_Patterns, _Patterns]]] = {
    **{
        f"{animal.replace(' ', '_')}_name": (
            _filled(_pet_tell(animal), animal),
            _filled((*_PET_ASK, *_PET_ASK_OWN.get(animal, ())), animal),
        )
        for animal in (*_FURRY, *_STABLE, *_FEATHERED_AND_SCALED)
    },
    **{
        f"{noun.replace(' ', '_')}_name": (_filled(_name_tell(noun), noun), _filled(_NAME_ASK, noun))
        for noun in (*_AT_HOME, *_AT_WORK, *_OTHERS)
    },
    **_family("job", _JOBS, _JOB_TELL, _JOB_ASK),
    **_family("city", _CITIES, _CITY_TELL, _CITY_ASK),
    **_family("age", _AGES, _AGE_TELL, _AGE_ASK),
    **_family("birthday", _BIRTHDAYS, _BIRTHDAY_TELL, _BIRTHDAY_ASK),
    "dog_breed": (_BREED_TELL, _BREED_ASK),
}
