#define _GNU_SOURCE
#include "inject.h"

#ifndef __x86_64__

gt_injected_t gt_inject(pid_t tid, gt_inject_mode_t mode, const gt_functions_t *functions,
                        const char *text, size_t length, int *code, gt_error_t *error)
{
    (void)tid, (void)mode, (void)functions, (void)text, (void)length;
    *code = 0;
    gt_fail(error, "attaching to a Python before 3.14 is possible on x86-64 only");
    return GT_INJECT_FAILED;
}

#else

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STOP_NS 1000000000  /* for the thread to stop */
#define CALL_NS 2000000000  /* for a call that cannot block to return */
#define POLL_NS 20000
#define PAGE 4096
#define BLOCK_BYTES 64
#define STUB_BYTES 128
#define TEXT_AT (BLOCK_BYTES + STUB_BYTES)
#define RED_ZONE 128
#define SCRATCH 256
#define XSTATE_BYTES 16384

/* What the kernel leaves in rax of a system call that it interrupted and will restart. */
enum { RESTART = 512, RESTART_NO_INTERRUPT, RESTART_NO_HANDLER, RESTART_BLOCK = 516 };

/* At the start of the page that is mapped into the target; the stubs below know these offsets. */
typedef struct {
    uint64_t ensure, run, release, unmap; /* 0, 8, 16, 24 */
    uint64_t page, bytes, text;           /* 32, 40, 48 */
} block_t;

/* What the target runs, with the block as its argument. Both end in munmap() of the page they
 * stand on, which returns to their caller: 0 is what a pending call has to return. */
__asm__(".pushsection .rodata\n"
        ".globl gt_stub_thread\n.hidden gt_stub_thread\ngt_stub_thread:\n"
        "  endbr64\n"
        "  push %rbx\n  push %r12\n  sub $8, %rsp\n"
        "  mov %rdi, %rbx\n"
        "  call *0(%rbx)\n  mov %eax, %r12d\n"
        "  mov 48(%rbx), %rdi\n  call *8(%rbx)\n"
        "  mov %r12d, %edi\n  call *16(%rbx)\n"
        "  jmp 1f\n"
        ".globl gt_stub_pending\n.hidden gt_stub_pending\ngt_stub_pending:\n"
        "  endbr64\n"
        "  push %rbx\n  push %r12\n  sub $8, %rsp\n"
        "  mov %rdi, %rbx\n"
        "  mov 48(%rbx), %rdi\n  call *8(%rbx)\n"
        "1:\n"
        "  mov 32(%rbx), %rdi\n  mov 40(%rbx), %rsi\n  mov 24(%rbx), %rax\n"
        "  add $8, %rsp\n  pop %r12\n  pop %rbx\n"
        "  jmp *%rax\n"
        ".globl gt_stub_end\n.hidden gt_stub_end\ngt_stub_end:\n"
        ".popsection\n");
extern const char gt_stub_thread[], gt_stub_pending[], gt_stub_end[];

/* The stopped thread, and all that has to be put back. */
typedef struct {
    pid_t tid;
    bool stopped;
    struct user_regs_struct registers;
    char extended[XSTATE_BYTES]; /* floating point and vector registers */
    size_t extended_bytes;
    uint64_t signals; /* its mask */
    gt_error_t *error;
    int *code;
} thread_t;

static bool refuse(thread_t *thread, const char *message)
{
    return gt_fail(thread->error, message);
}

/* The same, where it is the kernel that refuses. */
static bool forbidden(thread_t *thread, const char *message)
{
    *thread->code = errno;
    return gt_fail(thread->error, message);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Wait for the next stop. False: the thread has ended, or `patience_ns` are over (errno ETIME). */
static bool next_stop(thread_t *thread, uint64_t patience_ns, int *status)
{
    const struct timespec pause = {0, POLL_NS};
    uint64_t deadline = now_ns() + patience_ns;
    for (;;) {
        pid_t done = waitpid(thread->tid, status, __WALL | WNOHANG);
        if (done == thread->tid) {
            errno = ESRCH;
            return thread->stopped = WIFSTOPPED(*status);
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

static bool is_interrupt(int status)
{
    return status >> 16 == PTRACE_EVENT_STOP;
}

static bool resume(thread_t *thread, int number)
{
    thread->stopped = false;
    return ptrace(PTRACE_CONT, thread->tid, NULL, (void *)(intptr_t)number) == 0;
}

/* Stop the thread where it is; signals that come in between are delivered as ever. */
static bool stop(thread_t *thread)
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

static bool save(thread_t *thread)
{
    struct iovec extended = {thread->extended, sizeof thread->extended};
    if (ptrace(PTRACE_GETREGS, thread->tid, NULL, &thread->registers) != 0 ||
        ptrace(PTRACE_GETREGSET, thread->tid, (void *)NT_X86_XSTATE, &extended) != 0 ||
        ptrace(PTRACE_GETSIGMASK, thread->tid, (void *)sizeof thread->signals, &thread->signals) != 0)
        return false;
    thread->extended_bytes = extended.iov_len;
    return true;
}

/* With its own registers back the kernel restarts an interrupted system call by itself. */
static void let_go(thread_t *thread)
{
    struct iovec extended = {thread->extended, thread->extended_bytes};
    ptrace(PTRACE_SETREGS, thread->tid, NULL, &thread->registers);
    ptrace(PTRACE_SETREGSET, thread->tid, (void *)NT_X86_XSTATE, &extended);
    ptrace(PTRACE_SETSIGMASK, thread->tid, (void *)sizeof thread->signals, &thread->signals);
    ptrace(PTRACE_DETACH, thread->tid, NULL, NULL);
}

static bool copy_in(thread_t *thread, uint64_t to, const void *from, size_t bytes)
{
    struct iovec ours = {(void *)from, bytes}, theirs = {(void *)to, bytes};
    return process_vm_writev(thread->tid, &ours, 1, &theirs, 1, 0) == (ssize_t)bytes;
}

static bool copy_out(thread_t *thread, uint64_t from, void *to, size_t bytes)
{
    struct iovec ours = {to, bytes}, theirs = {(void *)from, bytes};
    return process_vm_readv(thread->tid, &ours, 1, &theirs, 1, 0) == (ssize_t)bytes;
}

/* Some bytes on the thread's own stack, below what it may be using. */
static uint64_t scratch(const thread_t *thread)
{
    return (thread->registers.rsp - RED_ZONE - SCRATCH) & ~UINT64_C(15);
}

/* Call a function in the stopped thread. It returns to address 0, where the thread stops with a
 * SIGSEGV that nobody but us ever sees. */
static bool call(thread_t *thread, uint64_t function, const uint64_t arguments[6], uint64_t *result)
{
    struct user_regs_struct registers = thread->registers;
    const uint64_t nowhere = 0;
    registers.rsp = scratch(thread) - SCRATCH - sizeof nowhere;
    registers.rip = function;
    registers.rdi = arguments[0], registers.rsi = arguments[1], registers.rdx = arguments[2];
    registers.rcx = arguments[3], registers.r8 = arguments[4], registers.r9 = arguments[5];
    registers.rax = 0;
    registers.orig_rax = (unsigned long long)-1; /* this is no system call to restart */
    registers.eflags &= ~UINT64_C(0x500);        /* neither backwards nor step by step */
    if (!copy_in(thread, registers.rsp, &nowhere, sizeof nowhere) ||
        ptrace(PTRACE_SETREGS, thread->tid, NULL, &registers) != 0 || !resume(thread, 0))
        return refuse(thread, "its thread cannot be made to call a function");
    int status;
    while (next_stop(thread, CALL_NS, &status)) {
        int number = WSTOPSIG(status);
        if (ptrace(PTRACE_GETREGS, thread->tid, NULL, &registers) != 0)
            return refuse(thread, "its registers cannot be read");
        if (!is_interrupt(status) && number == SIGSEGV) {
            *result = registers.rax;
            return registers.rip == nowhere || refuse(thread, "a call in its thread failed");
        }
        if (!resume(thread, is_interrupt(status) ? 0 : number))
            break;
    }
    if (errno == ETIME && !stop(thread))
        errno = ETIME;
    return refuse(thread, "a call in its thread did not return");
}

static bool interrupted_call(const struct user_regs_struct *registers)
{
    long long code = (long long)registers->rax;
    return (long long)registers->orig_rax >= 0 &&
           ((-code >= RESTART && -code <= RESTART_NO_HANDLER) || -code == RESTART_BLOCK ||
            -code == EINTR);
}

/* Whether the thread is blocked in a call that waits for something from outside. Neither malloc
 * nor the dynamic linker makes any of these, so the thread holds none of their locks. */
static bool waits_outside(const struct user_regs_struct *registers)
{
    if (!interrupted_call(registers))
        return false;
    switch (registers->orig_rax) {
    case SYS_select:
    case SYS_pselect6:
    case SYS_poll:
    case SYS_ppoll:
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
#ifdef SYS_epoll_pwait2
    case SYS_epoll_pwait2:
#endif
    case SYS_accept:
    case SYS_accept4:
    case SYS_read:
    case SYS_recvfrom:
    case SYS_recvmsg:
    case SYS_nanosleep:
    case SYS_clock_nanosleep:
    case SYS_wait4:
    case SYS_waitid:
    case SYS_pause:
    case SYS_restart_syscall: /* one with a time limit that was interrupted before */
        return true;
    default:
        return false;
    }
}

/* What was set up has come to nothing, and nobody will use the page. */
static bool unmap_page(thread_t *thread, const gt_functions_t *functions, uint64_t page)
{
    uint64_t result;
    const uint64_t unmap[6] = {page, PAGE};
    call(thread, functions->munmap, unmap, &result);
    return false;
}

/* Map the page with the block, the stubs and the text. 0: it cannot be done. */
static uint64_t make_page(thread_t *thread, const gt_functions_t *functions, const char *text,
                          size_t length)
{
    char page[PAGE] = {0};
    uint64_t at, result;
    const uint64_t map[6] = {0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                             (uint64_t)-1, 0};
    if (!call(thread, functions->mmap, map, &at))
        return 0;
    if (at == (uint64_t)-1) {
        refuse(thread, "it has no memory left");
        return 0;
    }
    block_t block = {functions->ensure, functions->run, functions->release, functions->munmap,
                     at, PAGE, at + TEXT_AT};
    memcpy(page, &block, sizeof block);
    memcpy(page + BLOCK_BYTES, gt_stub_thread, (size_t)(gt_stub_end - gt_stub_thread));
    memcpy(page + TEXT_AT, text, length);
    const uint64_t protect[6] = {at, PAGE, PROT_READ | PROT_EXEC};
    if (copy_in(thread, at, page, sizeof page)) {
        if (!call(thread, functions->mprotect, protect, &result))
            return 0;
        if ((int)result == 0)
            return at;
    }
    unmap_page(thread, functions, at);
    refuse(thread, "a security policy forbids it to run code of ours");
    return 0;
}

static bool start_thread(thread_t *thread, const gt_functions_t *functions, uint64_t page)
{
    uint64_t result, created;
    const uint64_t create[6] = {scratch(thread), 0, page + BLOCK_BYTES, page};
    if (!call(thread, functions->pthread_create, create, &result))
        return false;
    if ((int)result != 0) {
        refuse(thread, "it cannot start one more thread");
        return unmap_page(thread, functions, page);
    }
    if (!copy_out(thread, scratch(thread), &created, sizeof created))
        return refuse(thread, "its memory cannot be read");
    const uint64_t detach[6] = {created};
    return call(thread, functions->pthread_detach, detach, &result);
}

/* A thread that waits for a lock takes EINTR as a reason to look whether there is something to
 * do, and goes on waiting; every caller of futex() has to expect it at any time. */
static bool add_pending_call(thread_t *thread, const gt_functions_t *functions, uint64_t page)
{
    uint64_t result;
    const uint64_t add[6] = {page + BLOCK_BYTES + (uint64_t)(gt_stub_pending - gt_stub_thread), page};
    if (!call(thread, functions->add_pending_call, add, &result))
        return false;
    if ((int)result != 0) {
        refuse(thread, "its main thread has too much to do");
        return unmap_page(thread, functions, page);
    }
    if (thread->registers.orig_rax == SYS_futex && interrupted_call(&thread->registers))
        thread->registers.rax = (unsigned long long)-EINTR;
    return true;
}

static gt_injected_t inject_stopped(thread_t *thread, gt_inject_mode_t mode,
                                    const gt_functions_t *functions, const char *text, size_t length)
{
    uint64_t result;
    const uint64_t nothing[6] = {0};
    /* And a main thread that waits for something outside will not look for pending calls. */
    if ((mode == GT_INJECT_THREAD) != waits_outside(&thread->registers))
        return GT_INJECT_NOT_NOW;
    if (!call(thread, functions->is_initialized, nothing, &result))
        return GT_INJECT_FAILED;
    if ((int)result == 0) {
        refuse(thread, "its Python has not started yet, or is about to end");
        return GT_INJECT_FAILED;
    }
    uint64_t page = make_page(thread, functions, text, length);
    if (page == 0)
        return GT_INJECT_FAILED;
    bool done = mode == GT_INJECT_THREAD ? start_thread(thread, functions, page)
                                         : add_pending_call(thread, functions, page);
    return done ? GT_INJECTED : GT_INJECT_FAILED;
}

static gt_injected_t inject(thread_t *thread, gt_inject_mode_t mode,
                            const gt_functions_t *functions, const char *text, size_t length)
{
    gt_injected_t outcome = GT_INJECT_FAILED;
    if (length >= PAGE - TEXT_AT || gt_stub_end - gt_stub_thread > STUB_BYTES)
        refuse(thread, "there is too much to run");
    else if (ptrace(PTRACE_SEIZE, thread->tid, NULL, NULL) != 0)
        forbidden(thread, "it may not be traced");
    else if (!stop(thread))
        forbidden(thread, "its thread does not stop");
    else if (!save(thread)) {
        refuse(thread, "its registers cannot be read");
        ptrace(PTRACE_DETACH, thread->tid, NULL, NULL);
    } else {
        outcome = inject_stopped(thread, mode, functions, text, length);
        let_go(thread);
    }
    return outcome;
}

gt_injected_t gt_inject(pid_t tid, gt_inject_mode_t mode, const gt_functions_t *functions,
                        const char *text, size_t length, int *code, gt_error_t *error)
{
    thread_t thread = {.tid = tid, .error = error, .code = code};
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    *code = 0;
    gt_injected_t outcome = inject(&thread, mode, functions, text, length);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return outcome;
}

#endif
