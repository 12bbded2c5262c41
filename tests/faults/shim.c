/* Faults at chosen system calls, by LD_PRELOAD: a signal to this process, or an error.
 *
 * FAULT_PID     only this process has faults
 * FAULT_UNDER   only calls that change something under these folders, separated by colons
 * FAULT_WHEN    the number of the call, from 1
 * FAULT_SIGNAL  sent before that call
 * FAULT_ERRNO   that call and all later ones fail with it; with FAULT_ONCE only that call
 * FAULT_COUNT   a file that gets the number of calls at exit
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static long calls;

static long number(const char *name) {
    const char *value = getenv(name);
    return value ? atol(value) : 0;
}

static int is_under(const char *path) {
    const char *folder = getenv("FAULT_UNDER");
    while (folder && *folder) {
        size_t length = strcspn(folder, ":");
        if (!strncmp(path, folder, length)) return 1;
        folder += length + (folder[length] == ':');
    }
    return 0;
}

/* Whether the call that is about to change `path` fails; errno is set then. */
static int faulty(const char *path) {
    if (number("FAULT_PID") != getpid() || !is_under(path)) return 0;
    long now = __sync_add_and_fetch(&calls, 1), when = number("FAULT_WHEN");
    if (when && now == when && number("FAULT_SIGNAL")) kill(getpid(), number("FAULT_SIGNAL"));
    int fails = getenv("FAULT_ONCE") ? now == when : now >= when;
    if (!when || !fails || !number("FAULT_ERRNO")) return 0;
    errno = number("FAULT_ERRNO");
    return 1;
}

static int faulty_descriptor(int descriptor) {
    char link[64], path[PATH_MAX];
    if (number("FAULT_PID") != getpid()) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return faulty(path);
}

static int faulty_at(int folder, const char *name) {
    char link[64], path[2 * PATH_MAX] = "";
    if (number("FAULT_PID") != getpid()) return 0;
    if (*name != '/') {
        ssize_t length = -1;
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        if (folder == AT_FDCWD) strcpy(link, "/proc/self/cwd");
        length = readlink(link, path, PATH_MAX - 1);
        if (length < 0) return 0;
        path[length] = '/';
    }
    strncat(path, name, PATH_MAX - 1);
    return faulty(path);
}

__attribute__((destructor)) void fault_report(void) {
    const char *file = getenv("FAULT_COUNT");
    char text[32];
    if (!file || number("FAULT_PID") != getpid()) return;
    int descriptor = syscall(SYS_openat, AT_FDCWD, file, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    int length = snprintf(text, sizeof text, "%ld\n", calls);
    if (descriptor >= 0) syscall(SYS_write, descriptor, text, length);
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

#define CHANGES(flags) ((flags) & (O_CREAT | O_TRUNC) || ((flags) & O_TMPFILE) == O_TMPFILE)

#define OPEN(symbol) \
    int symbol(const char *path, int flags, ...) { \
        REAL(int, #symbol, const char *, int, ...); \
        va_list list; \
        va_start(list, flags); \
        mode_t mode = CHANGES(flags) ? va_arg(list, mode_t) : 0; \
        va_end(list); \
        return CHANGES(flags) && faulty_at(AT_FDCWD, path) ? -1 : real(path, flags, mode); \
    }
#define OPENAT(symbol) \
    int symbol(int folder, const char *path, int flags, ...) { \
        REAL(int, #symbol, int, const char *, int, ...); \
        va_list list; \
        va_start(list, flags); \
        mode_t mode = CHANGES(flags) ? va_arg(list, mode_t) : 0; \
        va_end(list); \
        return CHANGES(flags) && faulty_at(folder, path) ? -1 : real(folder, path, flags, mode); \
    }
#define FOPEN(symbol) \
    FILE *symbol(const char *path, const char *mode) { \
        REAL(FILE *, #symbol, const char *, const char *); \
        return *mode != 'r' && faulty_at(AT_FDCWD, path) ? NULL : real(path, mode); \
    }
#define ON_PATH(symbol, parameters, arguments, folder, path, ...) \
    int symbol parameters { \
        REAL(int, #symbol, __VA_ARGS__); \
        return faulty_at(folder, path) ? -1 : real arguments; \
    }
#define ON_DESCRIPTOR(type, symbol, parameters, arguments, ...) \
    type symbol parameters { \
        REAL(type, #symbol, __VA_ARGS__); \
        return faulty_descriptor(fd) ? -1 : real arguments; \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
FOPEN(fopen)
FOPEN(fopen64)
ON_PATH(mkdir, (const char *p, mode_t m), (p, m), AT_FDCWD, p, const char *, mode_t)
ON_PATH(mkdirat, (int d, const char *p, mode_t m), (d, p, m), d, p, int, const char *, mode_t)
ON_PATH(rmdir, (const char *p), (p), AT_FDCWD, p, const char *)
ON_PATH(unlink, (const char *p), (p), AT_FDCWD, p, const char *)
ON_PATH(unlinkat, (int d, const char *p, int f), (d, p, f), d, p, int, const char *, int)
ON_PATH(chmod, (const char *p, mode_t m), (p, m), AT_FDCWD, p, const char *, mode_t)
ON_PATH(rename, (const char *p, const char *q), (p, q), AT_FDCWD, q, const char *, const char *)
ON_PATH(renameat, (int a, const char *p, int d, const char *q), (a, p, d, q), d, q, int,
        const char *, int, const char *)
ON_PATH(symlink, (const char *p, const char *q), (p, q), AT_FDCWD, q, const char *, const char *)
ON_DESCRIPTOR(ssize_t, write, (int fd, const void *b, size_t n), (fd, b, n), int, const void *,
              size_t)
ON_DESCRIPTOR(ssize_t, pwrite, (int fd, const void *b, size_t n, off_t o), (fd, b, n, o), int,
              const void *, size_t, off_t)
ON_DESCRIPTOR(ssize_t, pwrite64, (int fd, const void *b, size_t n, off64_t o), (fd, b, n, o), int,
              const void *, size_t, off64_t)
ON_DESCRIPTOR(ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n), int,
              const struct iovec *, int)
ON_DESCRIPTOR(int, ftruncate, (int fd, off_t n), (fd, n), int, off_t)
ON_DESCRIPTOR(int, ftruncate64, (int fd, off64_t n), (fd, n), int, off64_t)
ON_DESCRIPTOR(int, fsync, (int fd), (fd), int)
ON_DESCRIPTOR(int, fdatasync, (int fd), (fd), int)

/* TensorFlow's C++ writes through stdio, whose own calls of write cannot be replaced. */
size_t fwrite(const void *data, size_t size, size_t count, FILE *file) {
    REAL(size_t, "fwrite", const void *, size_t, size_t, FILE *);
    return faulty_descriptor(fileno(file)) ? 0 : real(data, size, count, file);
}
