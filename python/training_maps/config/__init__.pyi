from .resolve import Config as Config
from .resolve import prepare as prepare
from .schema import load_schema as load_schema
