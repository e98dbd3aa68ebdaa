/* A disk that fails, a process that is stopped in the midst of writing, a clock that is wrong: on command.
 *
 * Preloaded (LD_PRELOAD) into a process and all that it starts. Watches operations on files below $FAULTY_ROOT; others
 * pass untouched. $FAULTY_STATE is a file that all these processes and their driver map: it counts the operations, and
 * says at which of them to do what. $FAULTY_TRACE, where it is set, gets a line an operation. $FAULTY_CLOCK is how many
 * seconds the clock of these processes is ahead; `clock` of the state comes on top of it, so that it can jump in mid-run.
 * Times of files are the file system's, as they are on a host whose clock is wrong.
 *
 * tests/faults/layer.py is the driver; `struct state` and the numbers here are repeated there.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum kind { OPEN = 1, WRITE = 2, SYNC = 4, RENAME = 8, LINK = 16, UNLINK = 32, MKDIR = 64, READ = 128 };
enum action { NOTHING, STOP, TEAR, FAIL, BREAK, SHORT, FILL };

struct state {
    uint64_t count;    /* operations so far, of the kinds and paths that are asked for */
    uint64_t at;       /* number of the one at which to act, from 1; 0: never */
    uint32_t action;   /* STOP: before it. TEAR: after half of a write. FAIL: this one. SHORT: half of a write.
                          BREAK: this one, and from then on all, on whatever path. FILL: the same, after half of a write. */
    uint32_t error;    /* errno of those that fail */
    uint32_t kinds;    /* a mask */
    uint32_t struck;   /* how many operations were acted on */
    int32_t process;   /* the one that was acted on last */
    uint32_t reserved;
    double clock;      /* seconds that the clock is ahead */
    char only[256];    /* where not empty: paths that contain this */
};

static struct state *state;
static char root[PATH_MAX];
static size_t root_length;
static char trace[PATH_MAX];
static double clock_ahead;

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FAULTY_STATE"), *below = getenv("FAULTY_ROOT");
    const char *lines = getenv("FAULTY_TRACE"), *ahead = getenv("FAULTY_CLOCK");
    clock_ahead = ahead ? atof(ahead) : 0;
    if (lines) snprintf(trace, sizeof trace, "%s", lines);
    if (below) root_length = (size_t)snprintf(root, sizeof root, "%s", below);
    int file = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0) : -1;
    if (file < 0) return;
    void *shared = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    syscall(SYS_close, file);
    if (shared != MAP_FAILED) state = shared;
}

/* -- what an operation is about ------------------------------------------------------------------------------------- */

static void absolute(char *full, int folder, const char *path)
{
    char base[PATH_MAX] = "", link[64];
    if (path[0] != '/') {
        ssize_t length = 0;
        if (folder == AT_FDCWD) {
            if (syscall(SYS_getcwd, base, sizeof base) < 0) base[0] = 0;
        } else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            length = readlink(link, base, sizeof base - 1);
            base[length > 0 ? length : 0] = 0;
        }
    }
    size_t have = strnlen(base, PATH_MAX - 2);
    memcpy(full, base, have);
    if (have) full[have++] = '/';
    snprintf(full + have, PATH_MAX - have, "%s", path);
}

static int watched(const char *full)
{
    return state && root_length && !strncmp(full, root, root_length) && (full[root_length] == '/' || !full[root_length]);
}

static void note(uint64_t number, const char *word, const char *full, const char *what)
{
    char line[PATH_MAX + 128];
    int length = snprintf(line, sizeof line, "%llu %d %s %s%s\n", (unsigned long long)number, (int)getpid(), word,
                          full + (strlen(full) > root_length ? root_length + 1 : root_length), what);
    int file = (int)syscall(SYS_openat, AT_FDCWD, trace, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0) return;
    syscall(SYS_write, file, line, (size_t)(length < (int)sizeof line ? length : (int)sizeof line - 1));
    syscall(SYS_close, file);
}

static void stop(uint64_t number, const char *word, const char *full)
{
    if (trace[0]) note(number, word, full, " stopped");
    state->process = getpid();
    __atomic_add_fetch(&state->struck, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_kill, getpid(), SIGSTOP);
}

/* Count an operation; returns what to do about it: NOTHING, FAIL (errno is set), or for writes TEAR or SHORT. */
static enum action strike(enum kind kind, const char *word, const char *full)
{
    if (!watched(full) || !(state->kinds & kind)) return NOTHING;
    enum action action = state->action;
    uint64_t at = state->at, number = state->count;
    int asked = !(state->only[0] && !strstr(full, state->only));
    int broken = at && number >= at && (action == BREAK || action == FILL); /* whatever the file */
    if (!asked && !broken) return NOTHING;
    if (asked) number = __atomic_add_fetch(&state->count, 1, __ATOMIC_SEQ_CST);
    int now = asked && at && number == at;
    if (now && (action == STOP || (action == TEAR && kind != WRITE))) {
        stop(number, word, full);
        return NOTHING;
    }
    int half = now && kind == WRITE && (action == TEAR || action == SHORT || action == FILL);
    int fails = broken || (now && (action == FAIL || action == BREAK || (action == FILL && !half)));
    if (half && action == TEAR) return TEAR; /* told when it has stopped */
    if (trace[0]) note(number, word, full, fails ? " failed" : half ? " half" : "");
    if (!half && !fails) return NOTHING;
    state->process = getpid();
    __atomic_add_fetch(&state->struck, 1, __ATOMIC_SEQ_CST);
    if (half) return SHORT;
    errno = (int)state->error;
    return FAIL;
}

static enum action strike_at(enum kind kind, const char *word, int folder, const char *path)
{
    if (!state || !path) return NOTHING;
    char full[PATH_MAX];
    absolute(full, folder, path);
    return strike(kind, word, full);
}

static void path_of(char *full, int file)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, full, PATH_MAX - 1);
    full[length > 0 ? length : 0] = 0;
}

static enum action strike_file(enum kind kind, const char *word, int file)
{
    if (!state || !(state->kinds & kind)) return NOTHING;
    int before = errno;
    char full[PATH_MAX];
    path_of(full, file);
    errno = before;
    return strike(kind, word, full);
}

/* -- operations on files -------------------------------------------------------------------------------------------- */

static int for_writing(int flags)
{
    return (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC));
}

#define MODE(flags, mode) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

#define OPENER(name) \
    int name(const char *path, int flags, ...) \
    { \
        REAL(name); \
        MODE(flags, mode) \
        if (for_writing(flags) && strike_at(OPEN, "open", AT_FDCWD, path) == FAIL) return -1; \
        return real(path, flags, mode); \
    }
OPENER(open)
OPENER(open64)

#define OPENER_AT(name) \
    int name(int folder, const char *path, int flags, ...) \
    { \
        REAL(name); \
        MODE(flags, mode) \
        if (for_writing(flags) && strike_at(OPEN, "open", folder, path) == FAIL) return -1; \
        return real(folder, path, flags, mode); \
    }
OPENER_AT(openat)
OPENER_AT(openat64)

static void tear(int file)
{
    char full[PATH_MAX];
    path_of(full, file);
    stop(state->at, "write", full);
}

ssize_t write(int file, const void *content, size_t size)
{
    REAL(write);
    enum action action = strike_file(WRITE, "write", file);
    if (action == FAIL) return -1;
    if (action == NOTHING || size < 2) {
        if (action == TEAR) tear(file);
        return real(file, content, size);
    }
    ssize_t first = real(file, content, size / 2);
    if (action == SHORT || first < 0) return first;
    tear(file); /* what follows is for a driver that lets it go on after all */
    ssize_t second = real(file, (const char *)content + first, size - (size_t)first);
    return second < 0 ? first : first + second;
}

#define WRITER_AT(name, offset_type) \
    ssize_t name(int file, const void *content, size_t size, offset_type place) \
    { \
        REAL(name); \
        enum action action = strike_file(WRITE, "write", file); \
        if (action == FAIL) return -1; \
        if (action == TEAR) { \
            real(file, content, size / 2, place); \
            tear(file); \
        } \
        return real(file, content, action == SHORT && size > 1 ? size / 2 : size, place); \
    }
WRITER_AT(pwrite, off_t)
WRITER_AT(pwrite64, off64_t)

ssize_t read(int file, void *content, size_t size)
{
    REAL(read);
    return strike_file(READ, "read", file) == FAIL ? -1 : real(file, content, size);
}

#define ON_FILE(name, kind, word, arguments, ...) \
    int name arguments \
    { \
        REAL(name); \
        return strike_file(kind, word, file) == FAIL ? -1 : real(__VA_ARGS__); \
    }
ON_FILE(fsync, SYNC, "fsync", (int file), file)
ON_FILE(fdatasync, SYNC, "fsync", (int file), file)
ON_FILE(ftruncate, WRITE, "truncate", (int file, off_t size), file, size)
ON_FILE(ftruncate64, WRITE, "truncate", (int file, off64_t size), file, size)

#define ON_PATH(name, kind, word, folder, path, arguments, ...) \
    int name arguments \
    { \
        REAL(name); \
        return strike_at(kind, word, folder, path) == FAIL ? -1 : real(__VA_ARGS__); \
    }
ON_PATH(rename, RENAME, "rename", AT_FDCWD, to, (const char *from, const char *to), from, to)
ON_PATH(renameat, RENAME, "rename", b, to, (int a, const char *from, int b, const char *to), a, from, b, to)
ON_PATH(renameat2, RENAME, "rename", b, to, (int a, const char *from, int b, const char *to, unsigned flags),
        a, from, b, to, flags)
ON_PATH(link, LINK, "link", AT_FDCWD, to, (const char *from, const char *to), from, to)
ON_PATH(linkat, LINK, "link", b, to, (int a, const char *from, int b, const char *to, int flags), a, from, b, to, flags)
ON_PATH(symlink, LINK, "link", AT_FDCWD, to, (const char *from, const char *to), from, to)
ON_PATH(unlink, UNLINK, "unlink", AT_FDCWD, path, (const char *path), path)
ON_PATH(unlinkat, UNLINK, "unlink", a, path, (int a, const char *path, int flags), a, path, flags)
ON_PATH(rmdir, UNLINK, "unlink", AT_FDCWD, path, (const char *path), path)
ON_PATH(mkdir, MKDIR, "mkdir", AT_FDCWD, path, (const char *path, mode_t mode), path, mode)
ON_PATH(mkdirat, MKDIR, "mkdir", a, path, (int a, const char *path, mode_t mode), a, path, mode)
ON_PATH(truncate, WRITE, "truncate", AT_FDCWD, path, (const char *path, off_t size), path, size)
ON_PATH(truncate64, WRITE, "truncate", AT_FDCWD, path, (const char *path, off64_t size), path, size)

/* -- the clock ------------------------------------------------------------------------------------------------------ */

static double ahead(void)
{
    return clock_ahead + (state ? state->clock : 0);
}

static void shift(struct timespec *when, double seconds)
{
    double whole = (double)(time_t)seconds;
    when->tv_sec += (time_t)whole;
    when->tv_nsec += (long)((seconds - whole) * 1e9);
    if (when->tv_nsec >= 1000000000) { when->tv_sec += 1; when->tv_nsec -= 1000000000; }
    if (when->tv_nsec < 0) { when->tv_sec -= 1; when->tv_nsec += 1000000000; }
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    REAL(clock_gettime);
    int result = real(clock, now);
    if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) shift(now, ahead());
    return result;
}

time_t time(time_t *now)
{
    struct timespec told;
    clock_gettime(CLOCK_REALTIME, &told);
    if (now) *now = told.tv_sec;
    return told.tv_sec;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    (void)zone;
    struct timespec told;
    clock_gettime(CLOCK_REALTIME, &told);
    now->tv_sec = told.tv_sec;
    now->tv_usec = told.tv_nsec / 1000;
    return 0;
}

/* Who waits until a time of this clock means the kernel's, which is right. A time by the monotonic clock is no such one:
 * it counts from the machine's start. */
static const struct timespec *kernels(const struct timespec *until, struct timespec *room)
{
    if (!until || until->tv_sec < 1000000000 || ahead() == 0) return until;
    *room = *until;
    shift(room, -ahead());
    return room;
}

int sem_timedwait(sem_t *restrict what, const struct timespec *restrict until)
{
    REAL(sem_timedwait);
    struct timespec room;
    return real(what, kernels(until, &room));
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict what, const struct timespec *restrict until)
{
    REAL(pthread_mutex_timedlock);
    struct timespec room;
    return real(what, kernels(until, &room));
}

int pthread_cond_timedwait(pthread_cond_t *restrict what, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until)
{
    REAL(pthread_cond_timedwait);
    struct timespec room;
    return real(what, mutex, kernels(until, &room));
}
