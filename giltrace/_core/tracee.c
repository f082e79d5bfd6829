#define _GNU_SOURCE
#ifdef __x86_64__

#include "tracee.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#define STOP_NS 1000000000 /* for the thread to stop */
#define CALL_NS 2000000000 /* for a call that cannot block to return */
#define POLL_NS 20000
#define RED_ZONE 128
#define SCRATCH 256

/* What the kernel leaves in rax of a system call that it interrupted and will restart. */
enum { RESTART = 512, RESTART_NO_INTERRUPT, RESTART_NO_HANDLER, RESTART_BLOCK = 516 };

/* Signals by which the kernel reports what the thread itself has done. To have one of them blocked
 * when it happens makes the kernel forget the program's handler for it. */
#define BIT(number) (UINT64_C(1) << ((number)-1))
#define FAULTS (BIT(SIGSEGV) | BIT(SIGBUS) | BIT(SIGFPE) | BIT(SIGILL) | BIT(SIGTRAP) | BIT(SIGSYS))

bool gt_tracee_refuse(gt_tracee_t *thread, const char *message)
{
    return gt_fail(thread->error, message);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Wait for the next stop. False: the thread has ended (errno ESRCH or ECHILD), or `patience_ns` are
 * over (ETIME). */
static bool next_stop(const gt_tracee_t *thread, uint64_t patience_ns, int *status)
{
    const struct timespec pause = {0, POLL_NS};
    uint64_t deadline = now_ns() + patience_ns;
    for (;;) {
        pid_t done = waitpid(thread->tid, status, __WALL | WNOHANG);
        if (done == thread->tid) {
            errno = ESRCH;
            return WIFSTOPPED(*status);
        }
        if (done < 0)
            return false;
        if (now_ns() > deadline) {
            errno = ETIME;
            return false;
        }
        nanosleep(&pause, NULL);
    }
}

/* Our PTRACE_INTERRUPT, or a stop of the whole process, which goes on when we let go. */
static bool is_interrupt(int status)
{
    return status >> 16 == PTRACE_EVENT_STOP;
}

static bool resume(const gt_tracee_t *thread, int number)
{
    return ptrace(PTRACE_CONT, thread->tid, NULL, (void *)(intptr_t)number) == 0;
}

/* Stop the thread where it is; signals that come in between are delivered as ever. */
static bool interrupt(const gt_tracee_t *thread)
{
    int status;
    if (ptrace(PTRACE_INTERRUPT, thread->tid, NULL, NULL) != 0)
        return false;
    while (next_stop(thread, STOP_NS, &status)) {
        if (is_interrupt(status))
            return true;
        if (!resume(thread, WSTOPSIG(status)))
            return false;
    }
    return false;
}

static bool save(gt_tracee_t *thread)
{
    struct iovec extended = {thread->extended, sizeof thread->extended};
    if (ptrace(PTRACE_GETREGS, thread->tid, NULL, &thread->registers) != 0 ||
        ptrace(PTRACE_GETREGSET, thread->tid, (void *)NT_X86_XSTATE, &extended) != 0 ||
        ptrace(PTRACE_GETSIGMASK, thread->tid, (void *)sizeof thread->signals, &thread->signals) != 0)
        return false;
    thread->extended_bytes = extended.iov_len;
    return extended.iov_len < sizeof thread->extended; /* full: there may be more */
}

static void set_signals(const gt_tracee_t *thread, uint64_t signals)
{
    ptrace(PTRACE_SETSIGMASK, thread->tid, (void *)sizeof signals, &signals);
}

/* Where the kernel has refused something: the thread may just have ended. */
static gt_tracee_outcome_t refused(gt_tracee_t *thread, const char *message)
{
    if (errno == ESRCH || errno == ECHILD)
        return GT_TRACEE_GONE;
    if (errno != ETIME)
        *thread->code = errno;
    gt_tracee_refuse(thread, message);
    return GT_TRACEE_REFUSED;
}

gt_tracee_outcome_t gt_tracee_stop(gt_tracee_t *thread)
{
    if (ptrace(PTRACE_SEIZE, thread->tid, NULL, NULL) != 0)
        return refused(thread, "it may not be traced");
    if (!interrupt(thread))
        return refused(thread, "its thread does not stop");
    if (!save(thread)) {
        gt_tracee_refuse(thread, "its registers cannot be read");
        ptrace(PTRACE_DETACH, thread->tid, NULL, NULL);
        return GT_TRACEE_REFUSED;
    }
    return GT_TRACEE_STOPPED;
}

void gt_tracee_let_go(gt_tracee_t *thread)
{
    struct iovec extended = {thread->extended, thread->extended_bytes};
    ptrace(PTRACE_SETREGS, thread->tid, NULL, &thread->registers);
    ptrace(PTRACE_SETREGSET, thread->tid, (void *)NT_X86_XSTATE, &extended);
    set_signals(thread, thread->signals);
    ptrace(PTRACE_DETACH, thread->tid, NULL, NULL);
}

bool gt_tracee_write(gt_tracee_t *thread, uint64_t to, const void *from, size_t bytes)
{
    struct iovec ours = {(void *)from, bytes}, theirs = {(void *)to, bytes};
    return process_vm_writev(thread->tid, &ours, 1, &theirs, 1, 0) == (ssize_t)bytes;
}

bool gt_tracee_read(gt_tracee_t *thread, uint64_t from, void *to, size_t bytes)
{
    struct iovec ours = {to, bytes}, theirs = {(void *)from, bytes};
    return process_vm_readv(thread->tid, &ours, 1, &theirs, 1, 0) == (ssize_t)bytes;
}

uint64_t gt_tracee_scratch(const gt_tracee_t *thread)
{
    return (thread->registers.rsp - RED_ZONE - SCRATCH) & ~UINT64_C(15);
}

/* Wait until the call has come back to address 0. After two seconds the thread is taken out of it,
 * but never left in it: once we were gone, its return would end the process. */
static bool comes_back(gt_tracee_t *thread, uint64_t nowhere, uint64_t *result)
{
    struct user_regs_struct registers;
    bool late = false;
    int status;
    for (;;) {
        if (!next_stop(thread, late ? STOP_NS : CALL_NS, &status)) {
            late = errno == ETIME && ptrace(PTRACE_INTERRUPT, thread->tid, NULL, NULL) == 0;
            if (late)
                continue;
            return gt_tracee_refuse(thread, "its thread has ended");
        }
        if (ptrace(PTRACE_GETREGS, thread->tid, NULL, &registers) != 0)
            return gt_tracee_refuse(thread, "its registers cannot be read");
        if (!is_interrupt(status) && WSTOPSIG(status) == SIGSEGV) {
            *result = registers.rax;
            return registers.rip == nowhere || gt_tracee_refuse(thread, "a call in its thread failed");
        }
        if (late && is_interrupt(status))
            return gt_tracee_refuse(thread, "a call in its thread did not return");
        if (!resume(thread, is_interrupt(status) ? 0 : WSTOPSIG(status)))
            return gt_tracee_refuse(thread, "its thread has ended");
    }
}

/* The function returns to address 0, where the thread stops with a SIGSEGV that nobody but us ever
 * sees. */
bool gt_tracee_call(gt_tracee_t *thread, uint64_t function, const uint64_t arguments[6],
                    uint64_t *result)
{
    struct user_regs_struct registers = thread->registers;
    const uint64_t nowhere = 0;
    registers.rsp = gt_tracee_scratch(thread) - SCRATCH - sizeof nowhere;
    registers.rip = function;
    registers.rdi = arguments[0], registers.rsi = arguments[1], registers.rdx = arguments[2];
    registers.rcx = arguments[3], registers.r8 = arguments[4], registers.r9 = arguments[5];
    registers.rax = 0;
    registers.orig_rax = (unsigned long long)-1; /* this is no system call to restart */
    registers.eflags &= ~UINT64_C(0x500);        /* neither backwards nor step by step */
    set_signals(thread, ~FAULTS);
    if (!gt_tracee_write(thread, registers.rsp, &nowhere, sizeof nowhere) ||
        ptrace(PTRACE_SETREGS, thread->tid, NULL, &registers) != 0 || !resume(thread, 0))
        return gt_tracee_refuse(thread, "its thread cannot be made to call a function");
    return comes_back(thread, nowhere, result);
}

bool gt_interrupted_call(const struct user_regs_struct *registers)
{
    long long code = (long long)registers->rax;
    return (long long)registers->orig_rax >= 0 &&
           ((-code >= RESTART && -code <= RESTART_NO_HANDLER) || -code == RESTART_BLOCK ||
            -code == EINTR);
}

#endif
