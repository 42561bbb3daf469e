/* A disk that fails, or a power cut: preloaded before libc, told by a shared file what to do.
 *
 * Calls of the chosen kinds on files below a folder are counted over all processes that share the
 * file $FAULTS_PLAN. From the n-th call on, as often as told, they fail with an error number; with
 * the number 0 the process group is killed at once, as by a power cut. Layout: storage.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, WRITE = 2, FSYNC = 4, RENAME = 8, MKDIR = 16, OPEN_READ = 32, READ = 64, LOCK = 128, UNLINK = 256 };

struct plan {
    int64_t counted, at, times, calls, error, delay_us, of_kind[9];
    char below[1024], hit[1024];
};
static struct plan *plan;

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("FAULTS_PLAN");
    int fd = file ? open(file, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *map = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map != MAP_FAILED) plan = map;
}

/* 1 with errno when this call, of this kind on this file, is to fail */
static int fails(int kind, const char *path) {
    if (!plan || !plan->at || !path) return 0;
    char whole[2 * PATH_MAX], here[PATH_MAX];
    if (path[0] != '/') {
        if (!getcwd(here, sizeof here)) return 0;
        snprintf(whole, sizeof whole, "%s/%s", here, path);
        path = whole;
    }
    if (strncmp(path, plan->below, strlen(plan->below))) return 0;
    __atomic_add_fetch(&plan->of_kind[__builtin_ctz(kind)], 1, __ATOMIC_SEQ_CST);
    if (!(plan->calls & kind)) return 0;
    int64_t number = __atomic_add_fetch(&plan->counted, 1, __ATOMIC_SEQ_CST);
    if (number < plan->at || number >= plan->at + plan->times) return 0;
    if (number == plan->at) snprintf(plan->hit, sizeof plan->hit, "%d %.1000s", kind, path);
    if (plan->delay_us) usleep(plan->delay_us);
    if (plan->error < 0) return 0;
    if (!plan->error) kill(0, SIGKILL);
    errno = plan->error;
    return 1;
}

static int fails_fd(int kind, int fd) {
    if (!plan || !plan->at) return 0;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size <= 0) return 0;
    path[size] = 0;
    return fails(kind, path);
}

static int kind_of(int flags) { return (flags & O_ACCMODE) == O_RDONLY ? OPEN_READ : OPEN; }

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define MODE va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more)

int open(const char *path, int flags, ...) { MODE; return fails(kind_of(flags), path) ? -1 : REAL(open)(path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE; return fails(kind_of(flags), path) ? -1 : REAL(open64)(path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE; return fails(kind_of(flags), path) ? -1 : REAL(openat)(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE; return fails(kind_of(flags), path) ? -1 : REAL(openat64)(at, path, flags, mode); }
FILE *fopen(const char *path, const char *mode) { return fails(mode[0] == 'r' && !strchr(mode, '+') ? OPEN_READ : OPEN, path) ? NULL : REAL(fopen)(path, mode); }
FILE *fopen64(const char *path, const char *mode) { return fails(mode[0] == 'r' && !strchr(mode, '+') ? OPEN_READ : OPEN, path) ? NULL : REAL(fopen64)(path, mode); }

ssize_t write(int fd, const void *from, size_t size) { return fails_fd(WRITE, fd) ? -1 : REAL(write)(fd, from, size); }
ssize_t pwrite(int fd, const void *from, size_t size, off_t at) { return fails_fd(WRITE, fd) ? -1 : REAL(pwrite)(fd, from, size, at); }
ssize_t pwrite64(int fd, const void *from, size_t size, off64_t at) { return fails_fd(WRITE, fd) ? -1 : REAL(pwrite64)(fd, from, size, at); }
ssize_t writev(int fd, const struct iovec *from, int count) { return fails_fd(WRITE, fd) ? -1 : REAL(writev)(fd, from, count); }
ssize_t sendfile(int to, int from, off_t *at, size_t size) { return fails_fd(WRITE, to) ? -1 : REAL(sendfile)(to, from, at, size); }
ssize_t sendfile64(int to, int from, off64_t *at, size_t size) { return fails_fd(WRITE, to) ? -1 : REAL(sendfile64)(to, from, at, size); }
ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *there, size_t size, unsigned flags) { return fails_fd(WRITE, to) ? -1 : REAL(copy_file_range)(from, at, to, there, size, flags); }
size_t fwrite(const void *from, size_t size, size_t count, FILE *to) { return fails_fd(WRITE, fileno(to)) ? 0 : REAL(fwrite)(from, size, count, to); }
int ftruncate(int fd, off_t size) { return fails_fd(WRITE, fd) ? -1 : REAL(ftruncate)(fd, size); }
int ftruncate64(int fd, off64_t size) { return fails_fd(WRITE, fd) ? -1 : REAL(ftruncate64)(fd, size); }

ssize_t read(int fd, void *to, size_t size) { return fails_fd(READ, fd) ? -1 : REAL(read)(fd, to, size); }
ssize_t pread(int fd, void *to, size_t size, off_t at) { return fails_fd(READ, fd) ? -1 : REAL(pread)(fd, to, size, at); }
ssize_t pread64(int fd, void *to, size_t size, off64_t at) { return fails_fd(READ, fd) ? -1 : REAL(pread64)(fd, to, size, at); }
size_t fread(void *to, size_t size, size_t count, FILE *from) { return fails_fd(READ, fileno(from)) ? 0 : REAL(fread)(to, size, count, from); }

int fsync(int fd) { return fails_fd(FSYNC, fd) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return fails_fd(FSYNC, fd) ? -1 : REAL(fdatasync)(fd); }
int rename(const char *from, const char *to) { return fails(RENAME, to) ? -1 : REAL(rename)(from, to); }
int renameat(int at, const char *from, int there, const char *to) { return fails(RENAME, to) ? -1 : REAL(renameat)(at, from, there, to); }
int mkdir(const char *path, mode_t mode) { return fails(MKDIR, path) ? -1 : REAL(mkdir)(path, mode); }
int mkdirat(int at, const char *path, mode_t mode) { return fails(MKDIR, path) ? -1 : REAL(mkdirat)(at, path, mode); }
int unlink(const char *path) { return fails(UNLINK, path) ? -1 : REAL(unlink)(path); }

static int asks_lock(int what) { return what == F_SETLK || what == F_SETLKW || what == F_OFD_SETLK || what == F_OFD_SETLKW; }
#define ARGUMENT va_list more; va_start(more, what); void *argument = va_arg(more, void *); va_end(more)
int fcntl(int fd, int what, ...) { ARGUMENT; return asks_lock(what) && fails_fd(LOCK, fd) ? -1 : REAL(fcntl)(fd, what, argument); }
int fcntl64(int fd, int what, ...) { ARGUMENT; return asks_lock(what) && fails_fd(LOCK, fd) ? -1 : REAL(fcntl64)(fd, what, argument); }
int flock(int fd, int what) { return fails_fd(LOCK, fd) ? -1 : ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(fd, what); }
