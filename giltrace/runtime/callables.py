"""The C functions that may let the GIL go for long: what releases are named after.

Each line holds where the file descriptor of a call is found, the prefix of the names, and the
names as attributes of the module. One that does not exist in the Python at hand is passed over;
one that is missing here costs a name, not a release. What they are (I/O, a lock, …) is for the
reader to say: giltrace/model/calls.py.
"""

from __future__ import annotations

NONE, SELF, ARGUMENT = 0, 1, 2
"""Where the file descriptor is: nowhere, at the start of the object, the first argument."""

FUNCTIONS = {
    "_thread": (
        # `LockType` is what `_thread.lock` is called before Python 3.13.
        (NONE, "LockType.", "acquire acquire_lock __enter__"),
        (NONE, "lock.", "acquire acquire_lock __enter__"),
        (NONE, "RLock.", "acquire __enter__ _acquire_restore"),
        (NONE, "_ThreadHandle.", "join"),
        (NONE, "", "start_new_thread start_joinable_thread _shutdown"),
    ),
    "_queue": ((NONE, "SimpleQueue.", "get put"),),
    "time": ((NONE, "", "sleep"),),
    "_socket": (
        (SELF, "socket.", "_accept connect connect_ex close"),
        (SELF, "socket.", "recv recv_into recvfrom recvfrom_into recvmsg recvmsg_into"),
        (SELF, "socket.", "send sendall sendto sendmsg sendmsg_afalg shutdown"),
        (NONE, "", "getaddrinfo getnameinfo gethostbyname gethostbyname_ex gethostbyaddr"),
        (ARGUMENT, "", "close"),
        (NONE, "", "socketpair"),
    ),
    "_imp": ((NONE, "", "create_dynamic exec_dynamic"),),
    "select": ((NONE, "", "select"), (NONE, "poll.", "poll"), (SELF, "epoll.", "poll")),
    "_ssl": (
        (NONE, "_SSLSocket.", "do_handshake read write shutdown sendfile"),
        (NONE, "_SSLContext.", "load_verify_locations load_cert_chain set_default_verify_paths"),
    ),
    "posix": (
        (ARGUMENT, "", "read readinto readv pread preadv write writev pwrite pwritev"),
        (ARGUMENT, "", "fsync fdatasync ftruncate posix_fallocate lockf fstat lseek close"),
        (ARGUMENT, "", "sendfile copy_file_range splice eventfd_read eventfd_write tcsetpgrp"),
        (NONE, "", "open stat statx lstat access mkdir rmdir unlink remove rename replace link"),
        (NONE, "", "symlink readlink listdir scandir chdir truncate utime sync statvfs"),
        (NONE, "", "wait wait3 wait4 waitid waitpid system mkfifo getrandom urandom"),
        (NONE, "", "fork posix_spawn posix_spawnp sched_yield pipe pipe2 dup dup2"),
        (NONE, "DirEntry.", "stat is_dir is_file"),
    ),
    "_io": (
        (NONE, "", "open open_code"),
        (SELF, "FileIO.", "read readall readinto write seek truncate close"),
    ),
    "_posixsubprocess": ((NONE, "", "fork_exec"),),
    "_multiprocessing": ((NONE, "SemLock.", "acquire __enter__"),),
    "fcntl": ((ARGUMENT, "", "fcntl ioctl flock lockf"),),
    "_posixshmem": ((NONE, "", "shm_open shm_unlink"),),
    "mmap": ((NONE, "mmap.", "flush madvise resize"),),
    "_signal": ((NONE, "", "pause sigwait sigwaitinfo sigtimedwait"),),
    "termios": ((ARGUMENT, "", "tcdrain tcflush tcflow tcsendbreak"),),
    "readline": ((NONE, "", "read_history_file write_history_file"),),
    "_sqlite3": (
        (NONE, "", "connect"),
        (NONE, "Connection.", "execute executemany executescript commit rollback backup close"),
        (NONE, "Connection.", "serialize deserialize"),
        (NONE, "Cursor.", "execute executemany executescript fetchone fetchmany fetchall"),
        (NONE, "Blob.", "read write"),
    ),
    "zlib": (
        (NONE, "", "compress decompress crc32 adler32"),
        (NONE, "_ZlibDecompressor.", "decompress"),
    ),
    "_bz2": ((NONE, "BZ2Compressor.", "compress flush"), (NONE, "BZ2Decompressor.", "decompress")),
    "_lzma": (
        (NONE, "LZMACompressor.", "compress flush"),
        (NONE, "LZMADecompressor.", "decompress"),
    ),
    "_zstd": (
        (NONE, "ZstdCompressor.", "compress flush"),
        (NONE, "ZstdDecompressor.", "decompress"),
    ),
    "binascii": ((NONE, "", "crc32"),),
    "_hashlib": (
        (NONE, "", "new pbkdf2_hmac scrypt hmac_digest hmac_new openssl_md5 openssl_sha1"),
        (NONE, "", "openssl_sha224 openssl_sha256 openssl_sha384 openssl_sha512"),
        (NONE, "", "openssl_sha3_224 openssl_sha3_256 openssl_sha3_384 openssl_sha3_512"),
        (NONE, "HASH.", "update"),
        (NONE, "HMAC.", "update"),
    ),
    "_blake2": ((NONE, "blake2b.", "update"), (NONE, "blake2s.", "update")),
    "_md5": ((NONE, "MD5Type.", "update"), (NONE, "", "md5")),
    "_sha1": ((NONE, "SHA1Type.", "update"), (NONE, "", "sha1")),
    "_sha256": ((NONE, "SHA256Type.", "update"), (NONE, "", "sha256 sha224")),
    "_sha512": ((NONE, "SHA512Type.", "update"), (NONE, "", "sha512 sha384")),
    "_sha2": (
        (NONE, "SHA256Type.", "update"),
        (NONE, "SHA512Type.", "update"),
        (NONE, "", "sha224 sha256 sha384 sha512"),
    ),
    "_sha3": ((NONE, "sha3_256.", "update"), (NONE, "sha3_512.", "update")),
    "_interpreters": ((NONE, "", "exec run_string run_func call"),),
    "zmq.backend.cython._zmq": (
        (NONE, "", "zmq_poll proxy proxy_steerable"),
        (NONE, "Socket.", "recv recv_into recv_multipart send send_multipart connect bind close"),
        (NONE, "Socket.", "poll monitor"),
        (NONE, "Context.", "term destroy"),
    ),
    "zmq.backend.cython.socket": ((NONE, "Socket.", "recv send connect bind close"),),
    "zmq.backend.cython._poll": ((NONE, "", "zmq_poll"),),
    "psycopg2._psycopg": (
        (NONE, "", "_connect"),
        (NONE, "connection.", "commit rollback poll close"),
        (NONE, "cursor.", "execute executemany callproc copy_expert copy_from copy_to"),
        (NONE, "cursor.", "fetchone fetchmany fetchall"),
    ),
    "uvloop.loop": ((NONE, "Loop.", "run_forever run_until_complete"),),
}

ALIASES = {"LockType": "lock"}
"""What a type is called in names, where that is not the attribute it is found by."""
