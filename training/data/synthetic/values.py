"""Fact values by kind ("Rimba", "dark green", "14 Maple Road"), written as they stand in mid-sentence.

Promises: `draw` gives a value of the wanted kind; no value is ever in both "train" and "test", whatever the
kind (the split is decided by a stable hash of the finished value); the reserved names are never in "train",
not even as a part of a longer value.
"""

import hashlib
import random
import re
from collections.abc import Callable
from typing import Final, Literal

Split = Literal["train", "test"]
Maker = Callable[[random.Random], str]

_RESERVED: Final = re.compile(r"rimba|\bmira\b", re.IGNORECASE)
_TEST_SHARE: Final = 8  # one value in eight is a test value
_LIST_SHARE: Final = 0.06
_LISTED: Final = (
    "hobby", "instrument", "language", "food", "allergen", "animal", "flower", "fruit", "sport", "game", "drink",
    "dessert", "school_subject",
)  # fmt: skip
_SILENT_H: Final = ("hour", "honest", "honour", "heir")
_CONSONANT_SOUND: Final = ("uni", "use", "euro", "ewe", "one-", "one ", "uk", "ukulele", "utility", "u-")


def split_of(value: str) -> Split:
    """The split a finished value belongs to: always the same one."""
    if _RESERVED.search(value):
        return "test"
    digest = hashlib.blake2s(value.lower().encode()).digest()
    return "test" if int.from_bytes(digest[:8], "big") % _TEST_SHARE == 0 else "train"


def draw(kind: str, split: Split, rng: random.Random) -> str:
    """A random value of `kind` that belongs to `split`; now and then two of them ("chess and rowing")."""
    if kind in _LISTED and rng.random() < _LIST_SHARE:
        for _ in range(100):
            first, second = (_draw_one(kind, split, rng) for _ in range(2))
            if first != second and split_of(f"{first} and {second}") == split:
                return f"{first} and {second}"
    return _draw_one(kind, split, rng)


def _draw_one(kind: str, split: Split, rng: random.Random) -> str:
    make = KINDS[kind]
    for _ in range(10_000):
        value = make(rng)
        if split_of(value) == split:
            return value
    raise ValueError(f"kind {kind!r} has no value in split {split!r}")


def with_article(value: str) -> str:
    """The value with its indefinite article: "a nurse", "an electrician", "a unicycle"."""
    lower = value.lower()
    vowel = lower.startswith(_SILENT_H) or (lower[:1] in "aeiou" and not lower.startswith(_CONSONANT_SOUND))
    return f"{'an' if vowel else 'a'} {value}"


def _list(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(" ".join(part.split()) for part in text.split(",") if part.strip()))


# --- Names ---

_PLAIN: Final = _list("b, c, d, f, g, h, j, k, l, m, n, p, r, s, t, v, w, z")
_CLUSTERS: Final = _list("br, dr, fl, gr, kr, pl, sh, st, th, tr, cl, bl, ch")
_ONSETS: Final = _PLAIN * 2 + _CLUSTERS
_VOWELS: Final = tuple("aeiou") * 4 + ("ia", "ei", "au", "oo", "ea")
_CODAS: Final = ("", "", "", "", "n", "l", "r", "s", "m", "nd", "rk", "t", "x", "ll", "sk", "ng", "v")
_FEMALE_ENDS: Final = _list("a, ia, ina, ella, ie, elle, ara, issa, eth, ona, ynn, isa, uma, ery")
_MALE_ENDS: Final = _list("o, us, an, en, or, ik, ald, rek, ton, in, ard, os, imir, olf, as, ud")
_TOWN_ENDS: Final = _list("""
    ton, ham, ville, burg, stad, ford, by, field, haven, mouth, wick, port, dorf, heim, grad, ora, ania,
    os, ino, ey
""")

FEMALE_NAMES: Final = _list("""
    Anna, Sophie, Emily, Laura, Julia, Hannah, Olivia, Charlotte, Amelia, Grace, Lucy, Alice, Chloe, Ella,
    Freya, Ivy, Isabel, Katie, Lily, Maria, Megan, Nina, Nora, Paula, Rachel, Rebecca, Rosa, Ruth, Sarah,
    Stella, Tara, Vera, Wendy, Yasmin, Zoe, Fatima, Aisha, Priya, Mei, Yuki, Ingrid, Astrid, Greta, Helga,
    Carmen, Lucia, Elena, Bianca, Chiara, Giulia, Amara, Zainab, Leila, Soraya, Nadia, Olga, Irina,
    Svetlana, Katarina, Petra, Hana, Sakura, Linh, Thuy, Mira, Beatrice, Margaret, Dorothy, Edith, Agnes,
    Joan, Barbara, Susan, Linda, Karen, Debbie, Michelle, Tanya, Imogen, Harriet, Matilda, Penelope,
    Josephine, Claudia, Monica, Teresa, Pilar, Siobhan, Niamh, Aoife, Bronwen, Rhian, Kirsty, Fiona,
    Morag, Adaeze, Ngozi, Wanjiru, Makena, Thandi, Ananya, Divya, Kavita, Rani, Sunita, Jiwoo, Minji
""")
MALE_NAMES: Final = _list("""
    Tom, James, Oliver, Jack, Harry, George, Noah, Leo, Arthur, Oscar, Henry, Theo, Max, Sam, Daniel,
    Adam, Ben, Luke, Mark, Paul, Peter, Simon, Stephen, Robert, Richard, William, Edward, Frank, Walter,
    Hugo, Felix, Jonas, Lukas, Erik, Lars, Sven, Bjorn, Nils, Anders, Mikkel, Pierre, Luc, Antoine,
    Marcel, Diego, Pablo, Javier, Mateo, Carlos, Luis, Marco, Luca, Giovanni, Paolo, Matteo, Ivan, Dmitri,
    Sergei, Pavel, Tomasz, Piotr, Milan, Goran, Kemal, Emre, Omar, Ali, Hassan, Yusuf, Tariq, Karim,
    Rashid, Kwame, Kofi, Chidi, Emeka, Jabari, Sipho, Raj, Arjun, Vikram, Sanjay, Rohan, Wei, Jun, Hiro,
    Kenji, Takeshi, Minh, Duc, Joon, Declan, Sean, Liam, Rory, Callum, Ewan, Gareth, Dylan, Owen, Stuart,
    Graham, Nigel, Trevor, Barry, Keith, Clive, Douglas, Brandon, Tyler, Jamal, Desmond, Quentin
""")
_PETS: Final = _list("""
    Buddy, Bella, Luna, Charlie, Max, Daisy, Rocky, Molly, Bailey, Coco, Milo, Rosie, Toby, Ruby, Oreo,
    Pepper, Ginger, Biscuit, Peanut, Waffles, Pickles, Mango, Noodle, Pumpkin, Shadow, Smokey, Tiger,
    Whiskers, Socks, Mittens, Snowball, Marble, Patch, Scout, Ranger, Bandit, Bear, Duke, Rex, Ziggy,
    Bowie, Elvis, Gizmo, Pixel, Widget, Nacho, Taco, Sushi, Mochi, Kiwi, Olive, Clover, Hazel, Willow,
    Storm, Thunder, Comet, Nova, Saturn, Pluto, Apollo, Athena, Zeus, Loki, Freckles, Bubbles, Sparky,
    Dash, Flash, Turbo, Speedy, Captain, Admiral, Major, Duchess, Princess, Queenie, Earl, Monty, Winston,
    Watson, Sherlock, Frodo, Gandalf, Merlin, Dobby, Chewie, Yoda, Simba, Nala, Baloo, Bagel, Muffin,
    Crumpet, Truffle, Nutmeg, Cinnamon, Saffron, Basil, Tofu, Dumpling, Pretzel, Jellybean, Sprout,
    Button, Moss, Rimba
""")
_CITIES: Final = _list("""
    London, Leeds, York, Bristol, Glasgow, Cardiff, Dublin, Cork, Galway, Belfast, Paris, Lyon, Nantes,
    Berlin, Hamburg, Leipzig, Munich, Vienna, Graz, Zurich, Basel, Geneva, Milan, Turin, Naples, Rome,
    Madrid, Seville, Valencia, Lisbon, Porto, Athens, Sofia, Bucharest, Budapest, Prague, Brno, Warsaw,
    Krakow, Gdansk, Riga, Vilnius, Tallinn, Helsinki, Turku, Stockholm, Uppsala, Oslo, Bergen, Copenhagen,
    Aarhus, Amsterdam, Utrecht, Ghent, Antwerp, Reykjavik, Boston, Chicago, Denver, Seattle, Portland,
    Austin, Houston, Atlanta, Memphis, Nashville, Tucson, Omaha, Toronto, Montreal, Ottawa, Vancouver,
    Halifax, Havana, Bogota, Lima, Quito, Santiago, Montevideo, Salvador, Nairobi, Accra, Lagos, Kampala,
    Durban, Tunis, Cairo, Amman, Beirut, Izmir, Ankara, Tbilisi, Mumbai, Pune, Jaipur, Chennai, Kolkata,
    Colombo, Bangkok, Hanoi, Manila, Osaka, Kyoto, Nagoya, Seoul, Busan, Taipei, Perth, Adelaide, Hobart,
    Brisbane, Auckland, Wellington, Dunedin, Norwich, Exeter, Bath, Durham, Inverness, Aberdeen, Swansea,
    New Orleans, Salt Lake City
""")
_SURNAMES: Final = _list("""
    Smith, Jones, Taylor, Brown, Wilson, Evans, Walker, Wright, Hughes, Green, Hall, Wood, Clarke, Harris,
    Lewis, Cooper, Ward, Turner, Hill, Morris, Moore, Bell, Murphy, Bailey, Kelly, Shaw, Marshall, Fox,
    Palmer, Hunt, Webb, Stone, Pearce, Okafor, Mensah, Diallo, Novak, Horvat, Kowalski, Petrov, Ivanova,
    Larsen, Nielsen, Berg, Lindqvist, Virtanen, Muller, Schneider, Fischer, Weber, Keller, Rossi, Ferrari,
    Conti, Garcia, Lopez, Romero, Silva, Costa, Pereira, Dubois, Moreau, Lefevre, Peeters, Jansen, Visser,
    Yilmaz, Demir, Haddad, Rahman, Khan, Patel, Sharma, Gupta, Nair, Chen, Wang, Zhou, Tanaka, Sato,
    Kobayashi, Kim, Park, Choi, Nguyen, Tran, Santos, Reyes, Cohen, Levy, Hartley, Ashworth, Pemberton
""")


def _syllables(rng: random.Random, low: int, high: int) -> str:
    parts = [rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(rng.randint(low, high))]
    return "".join(parts)


def _made_name(rng: random.Random) -> str:
    return (_syllables(rng, 1, 3) + rng.choice(_PLAIN) + rng.choice("aeiou") + rng.choice(_CODAS)).capitalize()


def _female_name(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return rng.choice(FEMALE_NAMES)
    return (_syllables(rng, 1, 2) + rng.choice(_PLAIN) + rng.choice(_FEMALE_ENDS)).capitalize()


def _male_name(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return rng.choice(MALE_NAMES)
    return (_syllables(rng, 1, 2) + rng.choice(_PLAIN) + rng.choice(_MALE_ENDS)).capitalize()


def _person_name(rng: random.Random) -> str:
    return rng.choice((_female_name, _male_name, _made_name))(rng)


def _pet_name(rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.35:
        return rng.choice(_PETS)
    if roll < 0.42:
        return rng.choice(("Mr", "Lady", "Captain", "Miss", "Sir", "Little")) + " " + rng.choice(_PETS)
    if roll < 0.5:
        return _person_name(rng)
    return _made_name(rng)


def _surname(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return rng.choice(_SURNAMES)
    stem = _syllables(rng, 1, 2) + rng.choice(
        ("ler", "man", "sen", "wood", "son", "ski", "ini", "ez", "berg", "well", "ova")
    )
    return stem.capitalize()


def _full_name(rng: random.Random) -> str:
    return f"{_person_name(rng)} {_surname(rng)}"


def _titled_name(rng: random.Random) -> str:
    return f"{rng.choice(('Dr', 'Mr', 'Mrs', 'Ms'))} {_surname(rng)}"


def _doctor_name(rng: random.Random) -> str:
    return f"Dr {_surname(rng)}"


def _city(rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.5:
        return rng.choice(_CITIES)
    name = (_syllables(rng, 1, 2) + rng.choice(("", "n", "l", "r", "s")) + rng.choice(_TOWN_ENDS)).capitalize()
    return f"{rng.choice(('New', 'Port', 'Upper', 'East', 'Saint', 'Lake'))} {name}" if roll > 0.94 else name


# --- Places, firms and teams ---

_STREETS: Final = _list("""
    Maple, Oak, Elm, Church, Station, High, Park, Mill, Victoria, Green, Garden, Chestnut, Willow, Cedar,
    Orchard, Bridge, River, Hill, Meadow, King's, Queen's, Abbey, Castle, Harbour, Beacon, Birch,
    Primrose, Rose, Linden, Juniper, Baker, Fisher, Market, School, Spring, Sunset, Lake, Forest, Kestrel,
    Heron, Swan, Foxglove, Windmill, Quarry, Tanner
""")
_STREET_TYPES: Final = _list("Road, Street, Lane, Avenue, Close, Drive, Way, Court, Crescent, Terrace, Gardens, Row")
_COUNTRIES: Final = _list("""
    France, Germany, Spain, Portugal, Italy, Greece, Turkey, Norway, Sweden, Finland, Denmark, Iceland,
    Ireland, Scotland, Wales, England, Poland, Hungary, Romania, Bulgaria, Serbia, Croatia, Slovenia,
    Slovakia, Austria, Switzerland, Belgium, the Netherlands, Estonia, Latvia, Lithuania, Ukraine,
    Georgia, Armenia, Egypt, Morocco, Tunisia, Nigeria, Ghana, Kenya, Uganda, Tanzania, Ethiopia, Zambia,
    South Africa, Botswana, Madagascar, India, Pakistan, Nepal, Bangladesh, Sri Lanka, Thailand, Vietnam,
    Cambodia, Laos, Malaysia, Indonesia, the Philippines, Japan, China, South Korea, Mongolia, Australia,
    New Zealand, Fiji, Samoa, Canada, the United States, Mexico, Cuba, Jamaica, Panama, Colombia, Peru,
    Chile, Argentina, Uruguay, Brazil, Bolivia, Ecuador, Costa Rica, Malta, Cyprus, Lebanon, Jordan, Oman,
    Albania, Luxembourg, Senegal
""")
_FIRM_ENDS: Final = _list("""
    Systems, Logistics, Foods, Electronics, Insurance, Consulting, Airlines, Motors, Software, Labs,
    Publishing, Energy, Textiles, Bakeries, Robotics, Media, Partners, Pharma, Steel, Analytics,
    Furniture, Telecom, Shipping, Bank, Design
""")
_RESTAURANT_ADJECTIVES: Final = _list(
    "Golden, Red, Hungry, Little, Blue, Old, Silver, Happy, Green, Jade, Lazy, Salty, Royal"
)
_RESTAURANT_NOUNS: Final = _list("""
    Fork, Lantern, Dragon, Olive, Goose, Kitchen, Anchor, Lemon, Whale, Table, Pepper, Barrel, Pig, Lotus,
    Crab, Spoon, Fig, Oven, Rooster, Garden
""")
_SCHOOL_NAMES: Final = _list("""
    Hillcrest, Oakwood, Riverside, Northgate, Westfield, St Mary's, St John's, Queen Anne, Lakeside,
    Brookfield, Ashford, Kingsway, Greenhill, Fairview, Parkside, Elmwood, Highbury, Millbrook,
    Springfield, Castleton
""")
_SCHOOL_TYPES: Final = _list("High School, Academy, Grammar School, College, Primary School, University")
_TEAM_ENDS: Final = _list("United, Rovers, Athletic, Wanderers, Albion, Rangers, Town, Harriers, Dynamo, Celtic")
_TEAM_ANIMALS: Final = _list("""
    Tigers, Wolves, Bears, Hawks, Eagles, Sharks, Bulls, Lions, Giants, Pirates, Knights, Comets, Falcons,
    Penguins, Dragons, Stallions, Otters, Thunder, Rockets, Foxes
""")
_HIDING: Final = _list("under, behind, inside, next to, on top of")
_HIDING_THINGS: Final = _list("""
    flowerpot, doormat, watering can, letterbox, garden gnome, bookshelf, bread bin, toolbox, fridge,
    piano, washing machine, wardrobe, birdhouse, stone frog, laundry basket, shoe cupboard, tea tin,
    radiator, mirror, bicycle shed
""")


def _address(rng: random.Random) -> str:
    street = rng.choice(_STREETS) if rng.random() < 0.6 else _surname(rng)
    return f"{rng.randint(1, 240)} {street} {rng.choice(_STREET_TYPES)}"


def _company(rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.3:
        return f"{_surname(rng)} {rng.choice(_FIRM_ENDS)}"
    if roll < 0.5:
        return f"{_surname(rng)} and {rng.choice(('Sons', 'Daughters', 'Partners', _surname(rng)))}"
    name = _made_name(rng)
    return name if roll < 0.65 else f"{name} {rng.choice(_FIRM_ENDS)}"


def _restaurant(rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.4:
        return f"the {rng.choice(_RESTAURANT_ADJECTIVES)} {rng.choice(_RESTAURANT_NOUNS)}"
    if roll < 0.7:
        return f"{_person_name(rng)}'s"
    return f"{rng.choice(('Café', 'Casa', 'Trattoria', 'Bistro', 'Chez'))} {_made_name(rng)}"


def _school(rng: random.Random) -> str:
    name = rng.choice(_SCHOOL_NAMES) if rng.random() < 0.5 else _city(rng)
    return f"{name} {rng.choice(_SCHOOL_TYPES)}"


def _sport_team(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return f"{_city(rng)} {rng.choice(_TEAM_ENDS)}"
    return f"the {_city(rng)} {rng.choice(_TEAM_ANIMALS)}"


def _hiding_place(rng: random.Random) -> str:
    colour = rng.choice(("", "", "old ", "blue ", "red ", "big ", "broken ", "green ", "little "))
    return f"{rng.choice(_HIDING)} the {colour}{rng.choice(_HIDING_THINGS)}"


# --- Tastes ---

_FOODS: Final = _list("""
    lasagne, pizza, spaghetti, risotto, sushi, ramen, curry, chicken curry, fish and chips, roast chicken,
    pancakes, waffles, tacos, burritos, falafel, hummus, paella, gnocchi, dumplings, spring rolls, fried
    rice, pad thai, biryani, dal, goulash, schnitzel, pierogi, borscht, moussaka, kebabs, shepherd's pie,
    mashed potatoes, mac and cheese, chilli, mushroom soup, tomato soup, lentil stew, beef stew, grilled
    salmon, omelettes, quiche, ratatouille, couscous, tagine, jollof rice, kimchi, bibimbap, miso soup,
    cheese fondue, onion rings, baked beans, sweet potato fries, meatballs, Caesar salad, Greek salad,
    grilled cheese, bagels, crêpes, ravioli, tofu stir-fry, pumpkin soup, potato salad
""")
_FOOD_STYLES: Final = _list("spicy, homemade, vegetarian, cheesy, crispy, smoky, creamy")
_DESSERTS: Final = _list("""
    chocolate cake, apple pie, tiramisu, cheesecake, carrot cake, rice pudding, lemon tart, ice cream,
    brownies, crème brûlée, banana bread, apple crumble, panna cotta, sticky toffee pudding, trifle,
    baklava, churros, profiteroles, meringue, strawberry shortcake, key lime pie, pecan pie, bread and
    butter pudding, chocolate mousse, gingerbread, doughnuts, shortbread, pavlova, mango sorbet, cinnamon
    rolls, cherry pie, blueberry muffins, rhubarb crumble, macarons, fudge, peach cobbler, lemon sorbet,
    jelly and custard, plum cake, marzipan
""")
_FLAVOURS: Final = _list("""
    vanilla, chocolate, strawberry, pistachio, mint chocolate, hazelnut, lemon, mango, coconut, coffee,
    caramel, raspberry, blueberry, banana, cherry, rum and raisin, cookie dough, peanut butter, salted
    caramel, lavender, green tea, walnut, passion fruit, black sesame, blackcurrant, honeycomb, maple,
    peach, stracciatella, toffee, watermelon, ginger, dark chocolate, white chocolate, cinnamon, almond,
    lime, apricot, rhubarb, melon
""")
_DRINKS: Final = _list("""
    green tea, black tea, mint tea, chamomile tea, ginger tea, iced tea, earl grey, orange juice, apple
    juice, mango juice, tomato juice, grape juice, lemonade, ginger beer, root beer, cola, sparkling
    water, tonic water, hot chocolate, espresso, cold brew, milk, oat milk, coconut water, kombucha, red
    wine, white wine, rosé, cider, stout, wheat beer, pale ale, whisky, mojitos, gin and tonic, sangria,
    mulled wine, buttermilk, mango lassi, bubble tea, elderflower cordial, cranberry juice, peach iced
    tea, strawberry milkshake, banana smoothie, carrot juice, rooibos, masala chai
""")
_COFFEE_SIZES: Final = _list("small, large, double, iced, decaf, strong, extra hot, medium")
_COFFEES: Final = _list("""
    latte, cappuccino, flat white, americano, espresso, mocha, macchiato, cortado, filter coffee, oat
    latte
""")
_COFFEE_EXTRAS: Final = (
    "",
    "",
    " with oat milk",
    " with two sugars",
    " with cinnamon",
    " with vanilla",
    " without sugar",
)
_COLOURS: Final = _list("""
    red, blue, green, yellow, orange, purple, pink, brown, black, white, grey, turquoise, violet, indigo,
    maroon, beige, crimson, scarlet, teal, olive, lavender, magenta, gold, silver, navy, cream, coral,
    peach, mint, ochre, emerald, ruby, mustard, lilac, burgundy, khaki, amber, copper, charcoal, cyan,
    aqua, plum, rust, sand, ivory, mauve, apricot, jade
""")
_SHADES: Final = _list("""
    dark, pale, light, deep, bright, soft, warm, dusty, pastel, electric, forest, burnt, smoky, sky, neon
""")
_SHADED: Final = _list("""
    red, blue, green, yellow, orange, purple, pink, brown, grey, turquoise, violet, teal, gold, olive
""")
_FRUITS: Final = _list("""
    apples, pears, bananas, cherries, strawberries, raspberries, blueberries, blackberries, peaches,
    nectarines, apricots, plums, grapes, figs, dates, kiwis, mangoes, papayas, pineapple, watermelon,
    melon, oranges, tangerines, clementines, grapefruit, lemons, limes, pomegranates, passion fruit,
    lychees, guava, dragon fruit, persimmons, quinces, gooseberries, redcurrants, blackcurrants, rhubarb,
    cranberries, star fruit, mulberries, jackfruit
""")
_ALLERGENS: Final = _list("""
    peanuts, walnuts, hazelnuts, cashews, almonds, pistachios, shellfish, prawns, crab, lobster, mussels,
    oysters, salmon, tuna, eggs, milk, cheese, soya, wheat, rye, barley, sesame, mustard, celery,
    strawberries, kiwi, mango, bananas, peaches, apples, tomatoes, garlic, onions, mushrooms, coconut,
    avocado, pineapple, lupin, sunflower seeds, chickpeas, lentils, corn, red wine, chocolate, cinnamon,
    honey, oats
""")
_ANIMALS: Final = _list("""
    elephants, tigers, lions, wolves, foxes, bears, pandas, koalas, kangaroos, penguins, owls, eagles,
    hummingbirds, flamingos, dolphins, whales, sharks, octopuses, seahorses, turtles, frogs, geckos,
    chameleons, crocodiles, giraffes, zebras, hippos, rhinos, gorillas, orangutans, lemurs, sloths,
    otters, beavers, hedgehogs, squirrels, badgers, deer, moose, reindeer, alpacas, llamas, goats,
    donkeys, bees, butterflies, dragonflies, jellyfish, puffins, red pandas, capybaras, meerkats
""")
_FLOWERS: Final = _list("""
    roses, tulips, daffodils, lilies, orchids, sunflowers, daisies, peonies, violets, pansies, poppies,
    bluebells, snowdrops, crocuses, irises, lavender, lilacs, hydrangeas, carnations, chrysanthemums,
    dahlias, geraniums, marigolds, magnolias, gardenias, jasmine, hyacinths, begonias, petunias,
    foxgloves, cornflowers, sweet peas, buttercups, primroses, camellias, azaleas, freesias, anemones,
    asters, forget-me-nots, zinnias, honeysuckle, wisteria, edelweiss
""")
_PLANTS: Final = _list("""
    monstera, cactus, spider plant, rubber plant, fiddle-leaf fig, snake plant, peace lily, aloe vera,
    jade plant, orchid, bonsai, fern, Boston fern, yucca, dragon tree, lemon tree, olive tree, fig tree,
    tomato plant, chilli plant, basil plant, mint plant, rosemary bush, lavender bush, rose bush,
    hydrangea, begonia, African violet, poinsettia, string of pearls, pothos, philodendron, calathea,
    prayer plant, money tree, umbrella plant, venus flytrap, bamboo palm, parlour palm, avocado plant,
    banana plant, ivy, croton, succulent, kumquat tree, Christmas cactus, maple sapling, strawberry plant
""")
_HOBBIES: Final = _list("""
    painting, pottery, knitting, crochet, sewing, quilting, embroidery, woodworking, gardening, baking,
    cooking, photography, birdwatching, fishing, hiking, climbing, cycling, running, swimming, rowing,
    sailing, surfing, kayaking, skiing, snowboarding, skating, skateboarding, dancing, salsa dancing,
    ballet, yoga, archery, fencing, karate, judo, boxing, chess, playing cards, board games, crossword
    puzzles, jigsaw puzzles, origami, calligraphy, drawing, sketching, writing poems, stamp collecting,
    coin collecting, model trains, model aeroplanes, stargazing, geocaching, metal detecting, beekeeping,
    brewing beer, candle making, soap making, juggling, magic tricks, singing in a choir, stand-up comedy,
    video games, genealogy, mushroom picking, horse riding, scuba diving, restoring old bikes, learning
    languages, improv theatre
""")
_SPORTS: Final = _list("""
    football, soccer, basketball, baseball, tennis, table tennis, badminton, squash, volleyball, beach
    volleyball, handball, hockey, ice hockey, rugby, cricket, golf, swimming, rowing, sailing, cycling,
    running, athletics, gymnastics, boxing, judo, karate, fencing, archery, skiing, snowboarding, figure
    skating, speed skating, curling, darts, snooker, bowling, climbing, surfing, water polo, lacrosse,
    triathlon, horse racing, wrestling, American football, netball
""")
_GAMES: Final = _list("""
    chess, draughts, backgammon, Scrabble, Monopoly, Cluedo, Risk, Catan, Carcassonne, Ticket to Ride,
    Pandemic, Uno, poker, bridge, rummy, cribbage, solitaire, hearts, dominoes, mahjong, go, Jenga,
    Twister, charades, Pictionary, Trivial Pursuit, Battleship, Connect Four, Dixit, Azul, Codenames,
    Minecraft, Tetris, Pac-Man, Mario Kart, Stardew Valley, Zelda, Skyrim, Civilization, The Sims, Animal
    Crossing, Portal, Doom, Pong, Age of Empires, RollerCoaster Tycoon, Rocket League, FIFA
""")
_SUBJECTS: Final = _list("""
    maths, history, geography, biology, chemistry, physics, English, French, German, Spanish, Latin,
    music, art, drama, economics, philosophy, psychology, sociology, politics, computer science, religious
    studies, physical education, design and technology, law, medicine, architecture, astronomy, geology,
    engineering, nursing, accounting, marketing, journalism, linguistics, anthropology, archaeology,
    statistics, business studies, literature, film studies, ecology, art history, veterinary science,
    graphic design, social work, pharmacy, robotics, botany, civil engineering, dentistry
""")
_INSTRUMENTS: Final = _list("""
    piano, guitar, bass guitar, electric guitar, violin, viola, cello, double bass, harp, flute, piccolo,
    clarinet, bass clarinet, oboe, bassoon, saxophone, alto saxophone, trumpet, cornet, trombone, tuba,
    French horn, drums, bongos, marimba, xylophone, vibraphone, accordion, concertina, harmonica, banjo,
    mandolin, ukulele, lute, sitar, organ, harpsichord, keyboard, recorder, bagpipes, tin whistle, fiddle,
    lyre, zither, theremin, didgeridoo, kalimba, tambourine, euphonium
""")
_LANGUAGES: Final = _list("""
    French, German, Spanish, Italian, Portuguese, Dutch, Danish, Swedish, Norwegian, Finnish, Icelandic,
    Polish, Czech, Slovak, Hungarian, Romanian, Bulgarian, Serbian, Croatian, Slovenian, Greek, Turkish,
    Russian, Ukrainian, Estonian, Latvian, Lithuanian, Arabic, Hebrew, Persian, Urdu, Hindi, Bengali,
    Punjabi, Tamil, Telugu, Nepali, Thai, Vietnamese, Khmer, Malay, Indonesian, Tagalog, Japanese, Korean,
    Mandarin, Cantonese, Mongolian, Swahili, Yoruba, Igbo, Zulu, Amharic, Somali, Welsh, Irish, Scottish
    Gaelic, Basque, Catalan, Latin, Esperanto, Maltese, Albanian, Georgian, Armenian, British Sign
    Language
""")
_JOBS: Final = _list("""
    nurse, teacher, doctor, dentist, plumber, electrician, carpenter, bricklayer, painter, roofer,
    mechanic, bus driver, train driver, taxi driver, lorry driver, pilot, flight attendant, chef, baker,
    butcher, waiter, barista, bartender, hairdresser, barber, tailor, florist, gardener, farmer,
    fisherman, vet, zookeeper, librarian, bookseller, journalist, editor, translator, interpreter, writer,
    poet, actor, musician, composer, violinist, photographer, film director, graphic designer,
    illustrator, architect, surveyor, civil engineer, software engineer, web developer, data analyst,
    accountant, bank clerk, insurance broker, lawyer, judge, police officer, firefighter, paramedic,
    soldier, postman, social worker, psychologist, physiotherapist, midwife, pharmacist, optician, lab
    technician, chemist, biologist, geologist, astronomer, physicist, statistician, history professor,
    primary school teacher, swimming instructor, personal trainer, football coach, tour guide, travel
    agent, hotel manager, receptionist, secretary, shop assistant, cashier, security guard, cleaner,
    caretaker, estate agent, warehouse worker, welder, locksmith, jeweller, potter, beekeeper, forester,
    park ranger, museum curator, archaeologist, event planner, project manager, recruiter
""")
_CARS: Final = _list("""
    Toyota Corolla, Toyota Yaris, Honda Civic, Honda Jazz, Ford Fiesta, Ford Focus, Vauxhall Corsa, Opel
    Astra, Fiat Panda, Fiat Punto, Renault Clio, Renault Twingo, Peugeot 208, Citroën C3, Volkswagen Golf,
    Volkswagen Polo, Audi A3, Audi A4, Skoda Octavia, Skoda Fabia, Seat Ibiza, Volvo V70, Volvo XC40, Saab
    900, Mazda 3, Nissan Micra, Nissan Leaf, Kia Picanto, Hyundai i20, Suzuki Swift, Subaru Outback, Mini
    Cooper, Land Rover, Jeep Wrangler, Tesla Model 3, Dacia Duster, Chevrolet Impala, Dodge Ram, Ford
    Mustang, Lada Niva, Morris Minor, Alfa Romeo, Lancia Delta, Mitsubishi Colt
""")
_OBJECTS: Final = _list("""
    bicycle, telescope, camera, laptop, tent, motorbike, piano, sofa, guitar, sewing machine, coffee
    machine, dishwasher, camper van, sailing boat, kayak, surfboard, snowboard, drone, tablet, phone,
    watch, leather jacket, desk, bookcase, armchair, greenhouse, garden shed, hot tub, wood stove, record
    player, television, games console, electric scooter, cargo bike, washing machine, mattress, wedding
    dress, engagement ring, 3D printer, keyboard, microscope, bread oven, swimming pool, caravan,
    lawnmower, projector, drum kit, pottery wheel, fishing rod, treadmill, house, violin
""")
_BELONGINGS: Final = _list("""
    umbrella, wallet, scarf, hat, glove, notebook, key ring, phone case, water bottle, lunch box, earring,
    bracelet, necklace, watch, backpack, handbag, suitcase, pencil case, cardigan, raincoat, sock, swimsuit,
    towel, torch
""")
_OBJECT_STYLES: Final = (
    "",
    "",
    "new ",
    "second-hand ",
    "vintage ",
    "better ",
    "bigger ",
    "red ",
    "folding ",
    "used ",
)
_BREEDS: Final = _list("""
    Labrador, golden retriever, poodle, beagle, dachshund, border collie, German shepherd, corgi, pug,
    boxer, bulldog, French bulldog, cocker spaniel, springer spaniel, Dalmatian, greyhound, whippet,
    husky, malamute, Samoyed, chihuahua, Yorkshire terrier, Jack Russell, fox terrier, Scottish terrier,
    Airedale, schnauzer, Great Dane, Saint Bernard, Newfoundland, Rottweiler, Doberman, Akita, shiba inu,
    basset hound, bloodhound, Irish setter, Weimaraner, vizsla, Maltese, Pomeranian, papillon, Pekingese,
    shih tzu, lurcher, cockapoo, labradoodle, Irish wolfhound, Bernese mountain dog, English pointer
""")

# --- Titles ---

_ADJECTIVES: Final = _list("""
    Silent, Last, Golden, Broken, Hidden, Crimson, Distant, Little, Forgotten, Burning, Frozen, Endless,
    Secret, Lonely, Midnight, Electric, Wandering, Paper, Velvet, Hollow, Quiet, Wild, Blue, Second,
    Invisible, Glass, Restless, Ancient
""")
_NOUNS: Final = _list("""
    River, Garden, Lighthouse, Winter, Mountain, Letter, House, Island, Orchard, Train, Clockmaker,
    Harbour, Forest, Mirror, Stranger, Kingdom, Summer, Bridge, Violin, Storm, Road, Window, Shadow,
    Ocean, Lantern, Sparrow, Promise, Machine, Tower
""")
_SONG_STARTS: Final = _list("""
    Dancing, Waiting, Running, Falling, Dreaming, Walking, Driving, Singing, Crying, Sailing, Flying,
    Waking Up, Coming Home
""")
_SONG_ENDS: Final = _list("""
    in the Rain, Until Morning, Without You, on the Moon, by the Sea, in the Dark, Again, All Night, Under
    Neon Lights, Through the Fire, After Midnight, on Sunday, with Strangers, to the Stars
""")
_SONG_WORDS: Final = _list("""
    Honey, Starlight, Gasoline, Paper Hearts, Wildfire, Satellite, Hurricane, Lullaby, Echoes, Butterfly,
    Gravity, Silver Moon, Marigold, Heartbeat, Cinnamon, Thunder Road, Ghost Town, Sugar, Yesterday's
    Rain, Neon Sky
""")
_BAND_NOUNS: Final = _list("""
    Wolves, Tigers, Lanterns, Strangers, Pilots, Foxes, Mirrors, Satellites, Pigeons, Gardeners, Ghosts,
    Sailors, Engines, Cowboys, Violets, Monks, Robots, Sisters, Kings, Sparrows, Umbrellas, Librarians
""")


def _title(rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.35:
        return f"The {rng.choice(_ADJECTIVES)} {rng.choice(_NOUNS)}"
    if roll < 0.5:
        return f"{rng.choice(_NOUNS)} in {_city(rng)}"
    if roll < 0.65:
        return f"The {rng.choice(_NOUNS)} of {rng.choice((_city(rng), _made_name(rng)))}"
    if roll < 0.75:
        return f"{rng.choice(_ADJECTIVES)} {rng.choice(_NOUNS)}"
    if roll < 0.87:
        return f"A {rng.choice(_NOUNS)} for {_person_name(rng)}"
    return f"{_person_name(rng)} and the {rng.choice(_ADJECTIVES)} {rng.choice(_NOUNS)}"


def _song_title(rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.4:
        return f"{rng.choice(_SONG_STARTS)} {rng.choice(_SONG_ENDS)}"
    if roll < 0.6:
        return f"{rng.choice(_ADJECTIVES)} {rng.choice(_SONG_WORDS)}"
    return f"{rng.choice(_NOUNS)} {rng.choice(_SONG_ENDS)}" if roll < 0.8 else f"Goodbye, {_person_name(rng)}"


def _band(rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.5:
        return f"the {rng.choice(_ADJECTIVES)} {rng.choice(_BAND_NOUNS)}"
    if roll < 0.7:
        return f"{_made_name(rng)} and the {rng.choice(_BAND_NOUNS)}"
    return _made_name(rng)


# --- Numbers and times ---

_MONTHS: Final = _list("""
    January, February, March, April, May, June, July, August, September, October, November, December
""")
_SEASONS: Final = _list("spring, summer, autumn, winter")
_DAYS: Final = _list("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday")
_TENS: Final = _list("twenty, thirty, forty, fifty, sixty, seventy, eighty, ninety")
_UNITS: Final = _list("one, two, three, four, five, six, seven, eight, nine")
_TEENS: Final = _list("ten, eleven, twelve, thirteen, fourteen, fifteen, sixteen, seventeen, eighteen, nineteen")
_PASSWORD_WORDS: Final = _list("""
    fox, tiger, maple, coffee, rocket, panda, river, pepper, mango, cloud, banjo, lemon, otter, comet,
    walnut, pickle
""")


def _spell(number: int) -> str:
    if number < 20:
        return _TEENS[number - 10]
    tens = _TENS[number // 10 - 2]
    return tens if number % 10 == 0 else f"{tens}-{_UNITS[number % 10 - 1]}"


def _age(rng: random.Random) -> str:
    number = rng.randint(10, 98)
    return str(number) if rng.random() < 0.7 else _spell(number)


def _ordinal(day: int) -> str:
    ending = "th" if 10 < day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"


def _date(rng: random.Random) -> str:
    month, day = rng.choice(_MONTHS), rng.randint(1, 28)
    return rng.choice(
        (f"the {_ordinal(day)} of {month}", f"{month} {day}", f"{month} {_ordinal(day)}", f"{day} {month}")
    )


def _clock_time(rng: random.Random) -> str:
    hour = rng.randint(1, 12)
    if rng.random() < 0.5:
        return f"{hour}:{rng.randrange(0, 60, 5):02d}"
    past = rng.choice(("half past", "quarter past", "quarter to", "ten past", "twenty to"))
    return f"{past} {(*_UNITS, *_TEENS)[hour - 1]}"


def _weekday_time(rng: random.Random) -> str:
    when = rng.choice((str(rng.randint(1, 12)), _clock_time(rng), _clock_time(rng), "noon"))
    return f"{rng.choice(_DAYS)} at {when}"


def _digits(rng: random.Random, length: int) -> str:
    return "".join(rng.choice("0123456789") for _ in range(length))


def _phone(rng: random.Random) -> str:
    return rng.choice(
        (
            f"07{_digits(rng, 3)} {_digits(rng, 6)}",
            f"555-{_digits(rng, 4)}",
            f"0{_digits(rng, 3)} {_digits(rng, 5)}",
        )
    )


def _password(rng: random.Random) -> str:
    return f"{rng.choice(_PASSWORD_WORDS)}{rng.choice(_PASSWORD_WORDS)}{rng.randint(10, 99)}"


def _season(rng: random.Random) -> str:
    return rng.choice(("", "early ", "late ", "mid-")) + rng.choice(_SEASONS * 2 + _MONTHS)


# --- The kinds ---


def _one_of(values: tuple[str, ...]) -> Maker:
    return lambda rng: rng.choice(values)


def _food(rng: random.Random) -> str:
    food = rng.choice(_FOODS)
    return f"{rng.choice(_FOOD_STYLES)} {food}" if rng.random() < 0.25 and " " not in food else food


def _colour(rng: random.Random) -> str:
    return rng.choice(_COLOURS) if rng.random() < 0.5 else f"{rng.choice(_SHADES)} {rng.choice(_SHADED)}"


def _coffee(rng: random.Random) -> str:
    return f"{rng.choice(_COFFEE_SIZES)} {rng.choice(_COFFEES)}{rng.choice(_COFFEE_EXTRAS)}"


def _car(rng: random.Random) -> str:
    car = rng.choice(_CARS)
    return car if rng.random() < 0.5 else f"{rng.choice(_COLOURS[:11])} {car}"


def _belonging(rng: random.Random) -> str:
    return f"{rng.choice(_COLOURS[:11])} {rng.choice(_BELONGINGS)}"


def _object(rng: random.Random) -> str:
    return rng.choice(_OBJECT_STYLES) + rng.choice(_OBJECTS)


KINDS: Final[dict[str, Maker]] = {
    "pet_name": _pet_name,
    "person_name": _person_name,
    "female_name": _female_name,
    "male_name": _male_name,
    "surname": _surname,
    "full_name": _full_name,
    "titled_name": _titled_name,
    "doctor_name": _doctor_name,
    "city": _city,
    "street_address": _address,
    "country": _one_of(_COUNTRIES),
    "company": _company,
    "restaurant": _restaurant,
    "school": _school,
    "sport_team": _sport_team,
    "hiding_place": _hiding_place,
    "food": _food,
    "dessert": _one_of(_DESSERTS),
    "flavour": _one_of(_FLAVOURS),
    "drink": _one_of(_DRINKS),
    "coffee": _coffee,
    "fruit": _one_of(_FRUITS),
    "allergen": _one_of(_ALLERGENS),
    "colour": _colour,
    "animal": _one_of(_ANIMALS),
    "dog_breed": _one_of(_BREEDS),
    "flower": _one_of(_FLOWERS),
    "plant": _one_of(_PLANTS),
    "hobby": _one_of(_HOBBIES),
    "sport": _one_of(_SPORTS),
    "game": _one_of(_GAMES),
    "school_subject": _one_of(_SUBJECTS),
    "instrument": _one_of(_INSTRUMENTS),
    "language": _one_of(_LANGUAGES),
    "job": _one_of(_JOBS),
    "car": _car,
    "object": _object,
    "belonging": _belonging,
    "film_title": _title,
    "book_title": _title,
    "song_title": _song_title,
    "band": _band,
    "age": _age,
    "year": lambda rng: str(rng.randint(1940, 2012)),
    "date": _date,
    "weekday_time": _weekday_time,
    "clock_time": _clock_time,
    "code": lambda rng: _digits(rng, 4),
    "phone": _phone,
    "number": lambda rng: str(rng.randint(2, 999)),
    "shoe_size": lambda rng: rng.choice(
        (str(rng.randint(33, 50)), f"{rng.randint(33, 50)} and a half", f"UK {rng.randint(3, 14)}")
    ),
    "password": _password,
    "season": _season,
}
