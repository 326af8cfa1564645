"""The jars of a local Kafka broker, downloaded once and shared by all brokers of a user.

Rules:

- The jars are pinned in `kafka-jars.txt`: SHA-256, bytes, Maven coordinate. Nothing else is ever put on the class path.
- A jar gets its final name in the cache only after its checksum was verified. So whatever was interrupted, a file under
  its final name is whole, and the next attempt fetches only what is missing.
- A complete cache is known by names and sizes: then nothing is imported, locked or asked of the network.
- jgo and filelock belong to the optional extra `local`: imported only where they are needed.

`python -m producers.broker_artifacts > producers/kafka-jars.txt` pins the jars of `KAFKA_ENDPOINT` anew.
"""

import errno
import hashlib
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

KAFKA_VERSION = "4.3.1"
# Naming log4j-core here would make the resolver pick an old kafka-clients.
KAFKA_ENDPOINT = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
CACHE_VARIABLE = "TASTESTREAM_KAFKA_CACHE"
MIRROR_VARIABLE = "TASTESTREAM_MAVEN_MIRROR"
INSTALL_HINT = "pip install 'tastestream[local]'"
DOWNLOAD_THREADS = 4
DOWNLOAD_ATTEMPTS = 3
DOWNLOAD_RETRY_PAUSE_S = 1.0
DOWNLOAD_TIMEOUT_S = 30
DOWNLOAD_LOCK_TIMEOUT_S = 900.0
PROGRESS_EVERY_S = 0.5

Progress = Callable[[str], None]


class BrokerError(RuntimeError):
    """The local broker cannot do what it was asked; the message says why and what to do about it."""


@dataclass(frozen=True)
class Jar:
    """One pinned jar: `coordinate` is `group:artifact:version`."""

    sha256: str
    size_bytes: int
    coordinate: str

    @property
    def file_name(self) -> str:
        """The name in the cache, as Maven names it."""
        _group, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def pinned_jars() -> tuple[Jar, ...]:
    """All jars of the broker's class path."""
    lines = Path(__file__).with_name("kafka-jars.txt").read_text(encoding="ascii").splitlines()
    fields = (line.split() for line in lines)
    return tuple(Jar(sha256, int(size_bytes), coordinate) for sha256, size_bytes, coordinate in fields)


def cache_folder() -> Path:
    """Where the jars are kept: `$TASTESTREAM_KAFKA_CACHE`, or `tastestream/kafka` in the user's cache folder."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "tastestream" / "kafka"


def ensure_jars(folder: Path, jars: Sequence[Jar], progress: Progress) -> list[Path]:
    """The paths of `jars` in `folder`, after downloading those that are missing.

    Raises:
        BrokerError: jgo is not installed, the download failed, or the folder cannot be written.
    """
    try:
        if missing_jars(folder, jars):
            _download(folder, jars, progress)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BrokerError(
            f"Kafka's files cannot be downloaded to {folder} ({reason}): check network and disk and start again, "
            "which fetches only what is missing, or set KAFKA_BOOTSTRAP_SERVERS to a running cluster"
        ) from error
    return [(folder / jar.file_name).absolute() for jar in jars]


def missing_jars(folder: Path, jars: Sequence[Jar]) -> list[Jar]:
    """Those of `jars` that `folder` does not hold in their full size."""
    return [jar for jar in jars if _size_bytes(folder / jar.file_name) != jar.size_bytes]


def _size_bytes(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _download(folder: Path, jars: Sequence[Jar], progress: Progress) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with _sole_downloader(folder, progress):
        if missing := missing_jars(folder, jars):
            with _staging(folder) as staging:
                _Download(folder, staging, progress).run(missing)


@contextmanager
def _sole_downloader(folder: Path, progress: Progress) -> Iterator[None]:
    """Hold the cache's lock, which the operating system frees when a process dies."""
    try:
        from filelock import FileLock, Timeout  # noqa: PLC0415 - optional extra
    except ImportError as error:
        raise not_installed("filelock") from error
    lock = FileLock(folder / "download.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress("another process is downloading Kafka, waiting for it")
        try:
            lock.acquire(timeout=DOWNLOAD_LOCK_TIMEOUT_S)
        except Timeout as error:
            limit = f"{DOWNLOAD_LOCK_TIMEOUT_S:.0f} s"
            raise BrokerError(f"another process has held {lock.lock_file} for {limit}: end it, start again") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A folder for unverified files; one left by a killed process goes first."""
    staging = folder / "unverified"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


class _Download:
    """One download of several jars: threads fetch and verify, the calling thread reports the bytes that arrived."""

    def __init__(self, folder: Path, staging: Path, progress: Progress) -> None:
        try:
            from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415 - optional extra
        except ImportError as error:
            raise not_installed("jgo") from error
        mirror = os.environ.get(MIRROR_VARIABLE)
        self._maven = MavenContext(
            resolver=PythonResolver(progress_callback=self._counting),
            repo_cache=staging,
            remote_repos={"mirror": mirror.rstrip("/")} if mirror else None,
            timeout=DOWNLOAD_TIMEOUT_S,
        )
        self._folder = folder
        self._progress = progress
        self._arrived_bytes = 0
        self._counting_lock = threading.Lock()
        self._cancelled = threading.Event()

    def run(self, jars: Sequence[Jar]) -> None:
        """Fetch all of `jars`; the first failure, or an interrupt, ends the other transfers."""
        total_mb = sum(jar.size_bytes for jar in jars) / 1e6
        with ThreadPoolExecutor(DOWNLOAD_THREADS) as pool:
            futures = [pool.submit(self._fetch, jar) for jar in jars]
            try:
                while not all(future.done() for future in futures):
                    self._report(total_mb)
                    done, _ = wait(futures, PROGRESS_EVERY_S, FIRST_EXCEPTION)
                    for future in done:
                        future.result()
            except BaseException:
                self._cancelled.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        self._report(total_mb)

    def _report(self, total_mb: float) -> None:
        arrived_mb = min(self._arrived_bytes / 1e6, total_mb)  # a retry's bytes count twice
        self._progress(f"downloading Apache Kafka {KAFKA_VERSION}, this once: {arrived_mb:.1f} of {total_mb:.1f} MB")

    @contextmanager
    def _counting(self, _file_name: str, _size_bytes: int) -> Iterator[Callable[[int], None]]:
        yield self._count

    def _count(self, size_bytes: int) -> None:
        if self._cancelled.is_set():
            raise InterruptedError(errno.EINTR, "cancelled")
        with self._counting_lock:
            self._arrived_bytes += size_bytes

    def _fetch(self, jar: Jar) -> None:
        for _ in range(DOWNLOAD_ATTEMPTS - 1):
            try:
                return self._fetch_once(jar)
            except OSError:
                if self._cancelled.wait(DOWNLOAD_RETRY_PAUSE_S):
                    raise
        return self._fetch_once(jar)

    def _fetch_once(self, jar: Jar) -> None:
        artifact = self._maven.create_dependency(jar.coordinate).artifact
        if leftover := artifact.cached_path:  # of a failed attempt; jgo would take it for the jar
            leftover.unlink(missing_ok=True)
        try:
            path = artifact.resolve()
        except RuntimeError as error:
            raise FileNotFoundError(errno.ENOENT, f"the repository does not hand out {jar.coordinate}") from error
        if _sha256(path) != jar.sha256:
            raise OSError(errno.EBADMSG, f"{jar.file_name} came with another checksum than the pinned one")
        path.replace(self._folder / jar.file_name)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def not_installed(what: str) -> BrokerError:
    """The error for a missing part of the optional extra."""
    return BrokerError(f"a local Kafka broker needs {what}: {INSTALL_HINT}, or set KAFKA_BOOTSTRAP_SERVERS")


def resolve_pins(endpoint: str) -> list[str]:
    """The lines of `kafka-jars.txt` for a Maven endpoint, resolved and downloaded now."""
    import jgo  # noqa: PLC0415 - optional extra

    artifacts = jgo.resolve(endpoint)
    paths = {f"{a.groupId}:{a.artifactId}:{a.version}": a.resolve() for a in artifacts}
    return [f"{_sha256(path)} {path.stat().st_size} {name}" for name, path in sorted(paths.items())]


if __name__ == "__main__":
    sys.stdout.write("\n".join(resolve_pins(KAFKA_ENDPOINT)) + "\n")
