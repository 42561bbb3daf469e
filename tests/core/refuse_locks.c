/* A file system without locks: preloaded, it refuses every lock on a file, and tells of each in
   the file that REFUSED names. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int refused(const char *what, int fd) {
    char link[64], target[4096] = "";
    FILE *told = getenv("REFUSED") ? fopen(getenv("REFUSED"), "a") : NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, target, sizeof target - 1) < 0) strcpy(target, "?");
    if (told) { fprintf(told, "%s %s\n", what, target); fclose(told); }
    errno = getenv("REFUSED_ERRNO") ? atoi(getenv("REFUSED_ERRNO")) : ENOLCK;
    return -1;
}

static int is_lock(int command) {
    return command == F_GETLK || command == F_SETLK || command == F_SETLKW
        || command == F_OFD_GETLK || command == F_OFD_SETLK || command == F_OFD_SETLKW;
}

#define PASS(name)                                                      \
    int name(int fd, int command, ...) {                                \
        va_list rest;                                                   \
        va_start(rest, command);                                        \
        void *argument = va_arg(rest, void *);                          \
        va_end(rest);                                                   \
        if (is_lock(command)) return refused("fcntl", fd);              \
        int (*real)(int, int, ...) = dlsym(RTLD_NEXT, #name);           \
        return real(fd, command, argument);                             \
    }
PASS(fcntl)
PASS(fcntl64)

int flock(int fd, int operation) { (void)operation; return refused("flock", fd); }
int lockf(int fd, int command, off_t length) { (void)command; (void)length; return refused("lockf", fd); }
int lockf64(int fd, int command, off64_t length) { (void)command; (void)length; return refused("lockf", fd); }
