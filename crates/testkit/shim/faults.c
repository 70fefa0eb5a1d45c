/* A library to be preloaded into a program under test (LD_PRELOAD). It writes down what the program
 * does to the files below a folder, and makes one operation fail: the engines do their file operations
 * themselves, and this is how a test reaches them.
 *
 * Environment:
 *   KEEPSUM_FAULTS_ROOT     the folder, absolute and without symbolic links
 *   KEEPSUM_FAULTS_JOURNAL  the file to append the journal to; testkit::crash::parse reads it
 *   KEEPSUM_FAULTS_KIND     error | onwards | torn | short | kill | read-error | read-short (optional)
 *   KEEPSUM_FAULTS_AT       the number of the operation, from 0; reads are counted apart,
 *                           and of what may be short, writes alone
 *
 * Operations are done and written down under one lock, so the journal has them in their order. Copies
 * between files inside the kernel are refused, so that programs read and write instead. Compile with
 *   cc -shared -fPIC -O1 -o faults.so faults.c -ldl
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_FDS 65536

enum kind { NONE, ERROR, ONWARDS, TORN, SHORT, KILL, READ_ERROR, READ_SHORT };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_length;
static int journal = -1;
static enum kind kind = NONE;
static unsigned long at, operations, wholes, reads;
/* Whether a descriptor is of a file or folder below the root, and its inode. */
static unsigned char watched[MAX_FDS];
static uint64_t inodes[MAX_FDS];

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static enum kind kind_of(const char *name) {
    static const char *const names[] = {"none",  "error", "onwards",    "torn",
                                        "short", "kill",  "read-error", "read-short"};
    for (int i = 0; name && i < 8; i++)
        if (!strcmp(name, names[i])) return (enum kind)i;
    return NONE;
}

__attribute__((constructor)) static void start(void) {
    const char *folder = getenv("KEEPSUM_FAULTS_ROOT"), *path = getenv("KEEPSUM_FAULTS_JOURNAL");
    if (!folder || !path) return;
    snprintf(root, sizeof root, "%s", folder);
    root_length = strlen(root);
    journal = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (journal < 0) abort();
    const char *number = getenv("KEEPSUM_FAULTS_AT");
    kind = number ? kind_of(getenv("KEEPSUM_FAULTS_KIND")) : NONE;
    at = number ? strtoul(number, NULL, 10) : 0;
}

static void put(char entry, uint64_t inode, uint64_t number, const void *one, size_t one_length,
                const void *other, size_t other_length) {
    uint32_t lengths[2] = {(uint32_t)one_length, (uint32_t)other_length};
    struct iovec parts[] = {{&entry, 1},      {&inode, 8},      {&number, 8},
                            {&lengths[0], 4}, {(void *)one, one_length},
                            {&lengths[1], 4}, {(void *)other, other_length}};
    size_t wanted = 25 + one_length + other_length;
    if (syscall(SYS_writev, journal, parts, 7) != (long)wanted) abort();
}

static void put_path(char entry, uint64_t inode, const char *path) {
    put(entry, inode, 0, path, strlen(path), "", 0);
}

/* The absolute path, if it is the root or below it. */
static int below(int folder, const char *path, char *out) {
    if (journal < 0 || !path) return 0;
    if (path[0] == '/') {
        snprintf(out, PATH_MAX, "%s", path);
    } else {
        char link[64], base[PATH_MAX];
        if (folder == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t length = readlink(link, base, sizeof base - 1);
        if (length < 0) return 0;
        base[length] = 0;
        if (snprintf(out, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return 0;
    }
    return !strncmp(out, root, root_length) && (out[root_length] == '/' || !out[root_length]);
}

static uint64_t inode_of(int fd) {
    struct stat found;
    return fstat(fd, &found) ? 0 : (uint64_t)found.st_ino;
}

static void struck(void) { put('!', 0, 0, "", 0, "", 0); }

/* Counts an operation. Whether it is to fail with `code`. The caller has the lock. */
static int fails(int code) {
    unsigned long number = operations++;
    int hit = kind == ONWARDS ? number >= at : number == at;
    if (!hit || kind == NONE || kind >= READ_ERROR || kind == SHORT) return 0;
    struck();
    if (kind == KILL) {
        kill(getpid(), SIGKILL);
        pause();
    }
    errno = code;
    return 1;
}

/* As `fails`, for a write: how many of its bytes are to be done. */
static size_t writes(size_t wanted, int *failed) {
    *failed = 0;
    if (kind == SHORT && wanted > 1 && wholes++ == at) {
        struck();
        return wanted / 2;
    }
    if (!fails(ENOSPC)) return wanted;
    *failed = 1;
    return kind == TORN ? wanted / 2 : 0;
}

static int is_watched(int fd) { return journal >= 0 && fd >= 0 && fd < MAX_FDS && watched[fd]; }

static int opened(int fd, const char *path, int flags) {
    if (fd < 0 || fd >= MAX_FDS) return fd;
    watched[fd] = 1;
    inodes[fd] = inode_of(fd);
    if (flags & O_CREAT) put_path('o', inodes[fd], path);
    if (flags & O_TRUNC) put('t', inodes[fd], 0, "", 0, "", 0);
    return fd;
}

static int open_at(int folder, const char *path, int flags, mode_t mode) {
    char full[PATH_MAX];
    int unnamed = (flags & O_TMPFILE) == O_TMPFILE;
    if (unnamed || !below(folder, path, full))
        return (int)syscall(SYS_openat, folder, path, flags, mode);
    pthread_mutex_lock(&mutex);
    int fd = -1;
    if (!(flags & O_CREAT) || !fails(ENOSPC))
        fd = opened((int)syscall(SYS_openat, folder, path, flags, mode), full, flags);
    int code = errno;
    pthread_mutex_unlock(&mutex);
    errno = code;
    return fd;
}

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...) {                                                   \
        va_list arguments;                                                                         \
        va_start(arguments, flags);                                                                \
        mode_t mode = (mode_t)va_arg(arguments, int);                                              \
        va_end(arguments);                                                                         \
        return open_at(AT_FDCWD, path, flags, mode);                                               \
    }
#define OPENAT(name)                                                                               \
    int name(int folder, const char *path, int flags, ...) {                                       \
        va_list arguments;                                                                         \
        va_start(arguments, flags);                                                                \
        mode_t mode = (mode_t)va_arg(arguments, int);                                              \
        va_end(arguments);                                                                         \
        return open_at(folder, path, flags, mode);                                                 \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int close(int fd) {
    if (is_watched(fd)) {
        pthread_mutex_lock(&mutex);
        watched[fd] = 0;
        pthread_mutex_unlock(&mutex);
    }
    return (int)syscall(SYS_close, fd);
}

static ssize_t write_parts(int fd, const struct iovec *parts, int count, off_t offset, int append) {
    size_t wanted = 0;
    for (int i = 0; i < count; i++) wanted += parts[i].iov_len;
    char *bytes = malloc(wanted ? wanted : 1);
    if (!bytes) abort();
    size_t filled = 0;
    for (int i = 0; i < count; i++) {
        memcpy(bytes + filled, parts[i].iov_base, parts[i].iov_len);
        filled += parts[i].iov_len;
    }
    pthread_mutex_lock(&mutex);
    int failed, code = 0;
    size_t todo = writes(wanted, &failed);
    if (failed) code = errno;
    if (append) {
        struct stat found;
        int flags = fcntl(fd, F_GETFL);
        if ((flags & O_APPEND) && !fstat(fd, &found)) offset = found.st_size;
        else offset = lseek(fd, 0, SEEK_CUR);
    }
    ssize_t done = 0;
    if (todo || !failed) {
        done = append ? syscall(SYS_write, fd, bytes, todo)
                      : syscall(SYS_pwrite64, fd, bytes, todo, offset);
        if (done < 0) code = errno, failed = 1;
        else put('w', inodes[fd], (uint64_t)offset, bytes, (size_t)done, "", 0);
    }
    pthread_mutex_unlock(&mutex);
    free(bytes);
    if (failed) {
        errno = code;
        return -1;
    }
    return done;
}

ssize_t write(int fd, const void *bytes, size_t length) {
    if (!is_watched(fd)) return syscall(SYS_write, fd, bytes, length);
    struct iovec part = {(void *)bytes, length};
    return write_parts(fd, &part, 1, 0, 1);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (!is_watched(fd)) return syscall(SYS_writev, fd, parts, count);
    return write_parts(fd, parts, count, 0, 1);
}

static ssize_t write_at(int fd, const void *bytes, size_t length, off_t offset) {
    if (!is_watched(fd)) return syscall(SYS_pwrite64, fd, bytes, length, offset);
    struct iovec part = {(void *)bytes, length};
    return write_parts(fd, &part, 1, offset, 0);
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    return write_at(fd, bytes, length, offset);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    return write_at(fd, bytes, length, offset);
}

/* How many of the bytes wanted are to be read; -1 where it is to fail. */
static ssize_t reading(int fd, size_t wanted) {
    if (!is_watched(fd)) return (ssize_t)wanted;
    pthread_mutex_lock(&mutex);
    int hit = reads++ == at && (kind == READ_ERROR || kind == READ_SHORT);
    if (hit) struck();
    pthread_mutex_unlock(&mutex);
    if (!hit) return (ssize_t)wanted;
    errno = EIO;
    return kind == READ_ERROR ? -1 : (ssize_t)(wanted > 1 ? wanted / 2 : wanted);
}

ssize_t read(int fd, void *bytes, size_t length) {
    ssize_t todo = reading(fd, length);
    return todo < 0 ? -1 : syscall(SYS_read, fd, bytes, (size_t)todo);
}
static ssize_t read_at(int fd, void *bytes, size_t length, off_t offset) {
    ssize_t todo = reading(fd, length);
    return todo < 0 ? -1 : syscall(SYS_pread64, fd, bytes, (size_t)todo, offset);
}
ssize_t pread(int fd, void *bytes, size_t length, off_t offset) {
    return read_at(fd, bytes, length, offset);
}
ssize_t pread64(int fd, void *bytes, size_t length, off64_t offset) {
    return read_at(fd, bytes, length, offset);
}

ssize_t copy_file_range(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t length,
                        unsigned flags) {
    if (is_watched(out)) return errno = ENOSYS, -1;
    return syscall(SYS_copy_file_range, in, in_offset, out, out_offset, length, flags);
}
ssize_t sendfile64(int out, int in, off64_t *offset, size_t length) {
    if (is_watched(out)) return errno = ENOSYS, -1;
    return syscall(SYS_sendfile, out, in, offset, length);
}

static int sync_with(long call, int fd) {
    if (!is_watched(fd)) return (int)syscall(call, fd);
    pthread_mutex_lock(&mutex);
    int failed = fails(EIO), code = errno;
    if (!failed && syscall(call, fd)) failed = 1, code = errno;
    put(failed ? 'f' : 's', inodes[fd], 0, "", 0, "", 0);
    pthread_mutex_unlock(&mutex);
    errno = code;
    return failed ? -1 : 0;
}
int fsync(int fd) { return sync_with(SYS_fsync, fd); }
int fdatasync(int fd) { return sync_with(SYS_fdatasync, fd); }

static int truncate_to(int fd, off_t length) {
    if (!is_watched(fd)) return (int)syscall(SYS_ftruncate, fd, length);
    pthread_mutex_lock(&mutex);
    int answer = fails(ENOSPC) ? -1 : (int)syscall(SYS_ftruncate, fd, length), code = errno;
    if (!answer) put('t', inodes[fd], (uint64_t)length, "", 0, "", 0);
    pthread_mutex_unlock(&mutex);
    errno = code;
    return answer;
}
int ftruncate(int fd, off_t length) { return truncate_to(fd, length); }
int ftruncate64(int fd, off64_t length) { return truncate_to(fd, length); }

/* Space that is set aside changes no content; without it, programs go on. */
int fallocate(int fd, int mode, off_t offset, off_t length) {
    if (is_watched(fd)) return errno = EOPNOTSUPP, -1;
    return (int)syscall(SYS_fallocate, fd, mode, offset, length);
}
int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
    return fallocate(fd, mode, offset, length);
}

static int two_names(char entry, int code, long call, int from_folder, const char *from, int to_folder,
                     const char *to, unsigned flags) {
    char one[PATH_MAX], other[PATH_MAX];
    int inside = below(from_folder, from, one) && below(to_folder, to, other);
    if (!inside) return (int)syscall(call, from_folder, from, to_folder, to, flags);
    pthread_mutex_lock(&mutex);
    int answer =
        fails(code) ? -1 : (int)syscall(call, from_folder, from, to_folder, to, flags);
    int failure = errno;
    if (!answer) put(entry, 0, 0, one, strlen(one), other, strlen(other));
    pthread_mutex_unlock(&mutex);
    errno = failure;
    return answer;
}
int rename(const char *from, const char *to) {
    return two_names('r', EIO, SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}
int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    return two_names('r', EIO, SYS_renameat2, from_folder, from, to_folder, to, 0);
}
int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    char entry = flags & 2 /* RENAME_EXCHANGE */ ? 'x' : 'r';
    return two_names(entry, EIO, SYS_renameat2, from_folder, from, to_folder, to, flags);
}
int link(const char *from, const char *to) {
    return two_names('l', ENOSPC, SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}
int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    return two_names('l', ENOSPC, SYS_linkat, from_folder, from, to_folder, to, (unsigned)flags);
}

static int remove_at(int folder, const char *path, int flags) {
    char full[PATH_MAX];
    if (!below(folder, path, full)) return (int)syscall(SYS_unlinkat, folder, path, flags);
    pthread_mutex_lock(&mutex);
    int answer = fails(EIO) ? -1 : (int)syscall(SYS_unlinkat, folder, path, flags), code = errno;
    if (!answer) put_path('u', 0, full);
    pthread_mutex_unlock(&mutex);
    errno = code;
    return answer;
}
int unlink(const char *path) { return remove_at(AT_FDCWD, path, 0); }
int unlinkat(int folder, const char *path, int flags) { return remove_at(folder, path, flags); }
int rmdir(const char *path) { return remove_at(AT_FDCWD, path, AT_REMOVEDIR); }

static int make_at(int folder, const char *path, mode_t mode) {
    char full[PATH_MAX];
    if (!below(folder, path, full)) return (int)syscall(SYS_mkdirat, folder, path, mode);
    pthread_mutex_lock(&mutex);
    int answer = fails(ENOSPC) ? -1 : (int)syscall(SYS_mkdirat, folder, path, mode), code = errno;
    struct stat found;
    if (!answer && !stat(full, &found)) put_path('d', (uint64_t)found.st_ino, full);
    pthread_mutex_unlock(&mutex);
    errno = code;
    return answer;
}
int mkdir(const char *path, mode_t mode) { return make_at(AT_FDCWD, path, mode); }
int mkdirat(int folder, const char *path, mode_t mode) { return make_at(folder, path, mode); }
