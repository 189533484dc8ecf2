"""Where a URL leads: a store with the credentials and addresses of the settings."""

from voice_core.settings import Settings
from voice_core.store import Store


def open_store(url: str, settings: Settings, *, create: bool = False) -> Store:
    """The store at any URL. `create` makes a local folder that is not there."""
    return Store(url, create=create)
