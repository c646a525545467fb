"""``python -m varda_chat`` is ``varda-chat``."""

from varda_chat.cli.main import main

if __name__ == "__main__":
    main(prog_name="varda-chat")
