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

#include "tracee.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define PAGE 4096
#define BLOCK_BYTES 64
#define STUB_BYTES 128
#define TEXT_AT (BLOCK_BYTES + STUB_BYTES)

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

/* Whether the thread is blocked in a call that waits for something from outside. Neither malloc
 * nor the dynamic linker makes any of these, so the thread holds none of their locks. */
static bool waits_outside(const struct user_regs_struct *registers)
{
    if (!gt_interrupted_call(registers))
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

/* Whether it waits for a lock of the kind whose waiters have to expect EINTR at any time, take it as
 * a reason to look whether there is something to do, and go on waiting. Who waits for one with
 * priority inheritance is never told EINTR by the kernel, and would believe to have the lock. */
static bool waits_for_a_lock(const struct user_regs_struct *registers)
{
    int operation = (int)registers->rsi & FUTEX_CMD_MASK;
    return registers->orig_rax == SYS_futex && gt_interrupted_call(registers) &&
           (operation == FUTEX_WAIT || operation == FUTEX_WAIT_BITSET);
}

/* What was set up has come to nothing, and nobody will use the page. */
static bool unmap_page(gt_tracee_t *thread, const gt_functions_t *functions, uint64_t page)
{
    uint64_t result;
    const uint64_t unmap[6] = {page, PAGE};
    gt_tracee_call(thread, functions->munmap, unmap, &result);
    return false;
}

/* Map the page with the block, the stubs and the text. 0: it cannot be done. */
static uint64_t make_page(gt_tracee_t *thread, const gt_functions_t *functions, const char *text,
                          size_t length)
{
    char page[PAGE] = {0};
    uint64_t at, result;
    const uint64_t map[6] = {0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                             (uint64_t)-1, 0};
    if (!gt_tracee_call(thread, functions->mmap, map, &at))
        return 0;
    if (at == (uint64_t)-1) {
        gt_tracee_refuse(thread, "it has no memory left");
        return 0;
    }
    block_t block = {functions->ensure, functions->run, functions->release, functions->munmap,
                     at, PAGE, at + TEXT_AT};
    memcpy(page, &block, sizeof block);
    memcpy(page + BLOCK_BYTES, gt_stub_thread, (size_t)(gt_stub_end - gt_stub_thread));
    memcpy(page + TEXT_AT, text, length);
    const uint64_t protect[6] = {at, PAGE, PROT_READ | PROT_EXEC};
    if (gt_tracee_write(thread, at, page, sizeof page)) {
        if (!gt_tracee_call(thread, functions->mprotect, protect, &result))
            return 0;
        if ((int)result == 0)
            return at;
    }
    unmap_page(thread, functions, at);
    gt_tracee_refuse(thread, "a security policy forbids it to run code of ours");
    return 0;
}

static bool start_thread(gt_tracee_t *thread, const gt_functions_t *functions, uint64_t page)
{
    uint64_t result, created;
    const uint64_t create[6] = {gt_tracee_scratch(thread), 0, page + BLOCK_BYTES, page};
    if (!gt_tracee_call(thread, functions->pthread_create, create, &result))
        return false;
    if ((int)result != 0) {
        gt_tracee_refuse(thread, "it cannot start one more thread");
        return unmap_page(thread, functions, page);
    }
    if (!gt_tracee_read(thread, gt_tracee_scratch(thread), &created, sizeof created))
        return gt_tracee_refuse(thread, "its memory cannot be read");
    const uint64_t detach[6] = {created};
    return gt_tracee_call(thread, functions->pthread_detach, detach, &result);
}

static bool add_pending_call(gt_tracee_t *thread, const gt_functions_t *functions, uint64_t page)
{
    uint64_t result;
    const uint64_t add[6] = {page + BLOCK_BYTES + (uint64_t)(gt_stub_pending - gt_stub_thread), page};
    if (!gt_tracee_call(thread, functions->add_pending_call, add, &result))
        return false;
    if ((int)result != 0) {
        gt_tracee_refuse(thread, "its main thread has too much to do");
        return unmap_page(thread, functions, page);
    }
    if (waits_for_a_lock(&thread->registers))
        thread->registers.rax = (unsigned long long)-EINTR;
    return true;
}

static gt_injected_t inject_stopped(gt_tracee_t *thread, gt_inject_mode_t mode,
                                    const gt_functions_t *functions, const char *text, size_t length)
{
    uint64_t result;
    const uint64_t nothing[6] = {0};
    /* And a main thread that waits for something outside will not look for pending calls. */
    if ((mode == GT_INJECT_THREAD) != waits_outside(&thread->registers))
        return GT_INJECT_NOT_NOW;
    if (!gt_tracee_call(thread, functions->is_initialized, nothing, &result))
        return GT_INJECT_FAILED;
    if ((int)result == 0) {
        gt_tracee_refuse(thread, "its Python has not started yet, or is about to end");
        return GT_INJECT_FAILED;
    }
    uint64_t page = make_page(thread, functions, text, length);
    if (page == 0)
        return GT_INJECT_FAILED;
    bool done = mode == GT_INJECT_THREAD ? start_thread(thread, functions, page)
                                         : add_pending_call(thread, functions, page);
    return done ? GT_INJECTED : GT_INJECT_FAILED;
}

typedef struct {
    gt_tracee_t thread;
    gt_inject_mode_t mode;
    const gt_functions_t *functions;
    const char *text;
    size_t length;
    gt_injected_t outcome;
} job_t;

static void *work(void *given)
{
    job_t *job = given;
    switch (gt_tracee_stop(&job->thread)) {
    case GT_TRACEE_STOPPED:
        job->outcome = inject_stopped(&job->thread, job->mode, job->functions, job->text, job->length);
        gt_tracee_let_go(&job->thread);
        break;
    case GT_TRACEE_GONE:
        job->outcome = GT_INJECT_NOT_NOW;
        break;
    case GT_TRACEE_REFUSED:
        job->outcome = GT_INJECT_FAILED;
        break;
    }
    return NULL;
}

/* In a thread of its own: one that cannot be stopped, since it is waiting inside the kernel, cannot
 * be let go of either, but is when the thread that traces it ends. Otherwise it would stop later,
 * with nobody there to let it go on. */
gt_injected_t gt_inject(pid_t tid, gt_inject_mode_t mode, const gt_functions_t *functions,
                        const char *text, size_t length, int *code, gt_error_t *error)
{
    job_t job = {.thread = {.tid = tid, .error = error, .code = code}, .mode = mode,
                 .functions = functions, .text = text, .length = length,
                 .outcome = GT_INJECT_FAILED};
    *code = 0;
    if (length >= PAGE - TEXT_AT || gt_stub_end - gt_stub_thread > STUB_BYTES) {
        gt_fail(error, "there is too much to run");
        return GT_INJECT_FAILED;
    }
    sigset_t all, before;
    pthread_t worker;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    if (pthread_create(&worker, NULL, work, &job) == 0)
        pthread_join(worker, NULL);
    else
        gt_fail(error, "there is no thread left to do it");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return job.outcome;
}

#endif
