"""`python -m botwire_server`: the server with the options of the environment."""

from botwire_server.serve import serve
from botwire_server.settings import Settings

if __name__ == "__main__":
    serve(Settings.from_environment())
