/* Mapped memory that is cut short: what is guarded reads as empty, the rest ends as ever. */
#define _GNU_SOURCE
#include "guard.h"

#include "check.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BYTES = 4 * 4096 };

static volatile char *map(int fd)
{
    void *at = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(at != MAP_FAILED);
    return at;
}

static int file(void)
{
    int fd = memfd_create("test_guard", 0);
    CHECK(fd >= 0 && ftruncate(fd, BYTES) == 0);
    return fd;
}

static void what_is_cut_reads_as_empty_and_can_be_written(void)
{
    int fd = file();
    volatile char *ours = map(fd), *other = map(file());
    int number = gt_guard((void *)ours, BYTES), untouched = gt_guard((void *)other, BYTES);
    CHECK(number >= 0 && untouched >= 0 && number != untouched);
    ours[0] = ours[BYTES - 1] = other[0] = 7;
    CHECK(ftruncate(fd, 4096) == 0);
    CHECK(!gt_guard_cut(number) && ours[0] == 7 && !gt_guard_cut(number));
    CHECK(ours[BYTES - 1] == 0 && gt_guard_cut(number));
    ours[BYTES - 1] = 8; /* goes nowhere */
    CHECK(ours[BYTES - 1] == 8 && ours[0] == 0);
    CHECK(!gt_guard_cut(untouched) && other[0] == 7);
    gt_unguard(number);
    gt_unguard(untouched);
    CHECK(!gt_guard_cut(number) && !gt_guard_cut(-1) && !gt_guard_cut(1 << 30));
    gt_unguard(-1);
}

static void what_is_not_guarded_ends_as_ever(void)
{
    int fd = file(), status;
    volatile char *theirs = map(fd);
    int number = gt_guard((void *)map(fd), BYTES);
    CHECK(ftruncate(fd, 0) == 0);
    pid_t child = fork();
    if (child == 0)
        _exit(theirs[0] == 0 ? 0 : 1);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    gt_unguard(number);
}

static void there_is_an_end_to_it(void)
{
    static char memory[8192];
    int first = gt_guard(memory, sizeof memory), last = first;
    for (int next; (next = gt_guard(memory, sizeof memory)) >= 0; last = next)
        CHECK(next < 1 << 20);
    gt_unguard(last);
    CHECK(gt_guard(memory, sizeof memory) == last && gt_guard(memory, sizeof memory) == -1);
}

int main(void)
{
    signal(SIGBUS, SIG_DFL); /* not the sanitizer's */
    what_is_cut_reads_as_empty_and_can_be_written();
    what_is_not_guarded_ends_as_ever();
    there_is_an_end_to_it();
    puts("guard: ok");
    return 0;
}
