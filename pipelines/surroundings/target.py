"""Where checkpoints are copied to: a place of its own, keys of its own, an encryption of its own.

Keys never stand on a command line or in a file of settings: those of the bucket and the one that opens the
repository come from the environment, each under a name of the target's.
"""

from pathlib import Path

from pipelines.config.checks import checked
from pipelines.config.storage import StorageConfig
from pipelines.config.text import ConfigError, read_yaml
from pipelines.surroundings.connect import Connection, OwnKeys
from storage import uri
from storage.checkpoints import OuterKey, Repository, WrongKey

TARGET_KEYS = OwnKeys(
    "CAROUSEL_TARGET_ACCESS_KEY_ID", "CAROUSEL_TARGET_SECRET_ACCESS_KEY", "CAROUSEL_TARGET_SESSION_TOKEN"
)
TARGET_REPOSITORY_KEY = "CAROUSEL_TARGET_REPOSITORY_KEY"


def target_storage(text: str, storage: StorageConfig) -> StorageConfig:
    """What `--to` names.

    Args:
        text: `s3://bucket/prefix`: on the server that `storage` names; else a file of settings, whose
            `storage` section says it all.
        storage: where is copied from.

    Raises:
        UserError: it is neither.
    """
    if "://" in text:
        bucket, prefix = uri.parse(text)
        if not prefix:
            raise ConfigError(f"--to {text} names no prefix; write s3://{bucket}/checkpoints")
        values = storage.model_dump(mode="json") | {"bucket": bucket, "repository": prefix}
        return checked(StorageConfig, values, {}, ("storage",))
    try:
        content = Path(text).read_text()
    except FileNotFoundError:
        raise ConfigError(
            f"--to {text}: no such file; name a file of settings whose `storage` section says where to,"
            " or write s3://bucket/prefix for a place on the same server"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--to {text} cannot be read: {error}") from None
    values, origins = read_yaml(content, Path(text).name)
    section = values.get("storage")
    if not isinstance(section, dict):
        raise ConfigError(f"--to {text} has no section `storage`, which would say where to")
    return checked(StorageConfig, section, origins, ("storage",))


def target_repository(target: Connection, source: Repository, *, in_the_clear: bool) -> Repository:
    """The repository to copy into, made if it is not there; encrypted where its key is set.

    Args:
        target: its bucket.
        source: where is copied from.
        in_the_clear: whether what is encrypted there may be stored unencrypted here.

    Raises:
        WrongKey: its key is missing or wrong, or what is hidden would be shown.
    """
    key = OuterKey.from_environment(name=TARGET_REPOSITORY_KEY)
    if key is None and source.shelf.identity.sealed and not in_the_clear:
        raise WrongKey(
            f"the source is encrypted, and without {TARGET_REPOSITORY_KEY} the copy would not be: set it to"
            " the key of the copy (openssl rand -hex 32), or say --in-the-clear"
        )
    made = Repository.create(target.bucket, target.prefix, key=key)
    if key is None and made.shelf.identity.sealed:
        raise WrongKey(
            f"the target is encrypted, and its key was not given: set {TARGET_REPOSITORY_KEY}, or"
            f" {TARGET_REPOSITORY_KEY}_FILE to a file that holds it"
        )
    return made
