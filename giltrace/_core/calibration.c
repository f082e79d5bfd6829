#define _GNU_SOURCE
#include "compat.h"

#include "calibration.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

#define MAX_SAVE_DEPTH 64

enum { LOCK = 'L', UNLOCK = 'U', SIGNALLED = 'S' };
#define MAX_STEPS 24

typedef struct {
    unsigned n;
    char op[MAX_STEPS];
    void *object[MAX_STEPS];
} dance_t;

static _Thread_local dance_t *dance __attribute__((tls_model("initial-exec")));
static const void *save_return; /* of the last dance */
static unsigned save_depth;

static int see_lock(pthread_mutex_t *mutex);
static int see_unlock(pthread_mutex_t *mutex);
static int see_signal(pthread_cond_t *cond);

/* Never cleared: another thread may be on its way through one of these long after. */
static gt_patch_t watches[] = {
    {.symbol = "pthread_mutex_lock", .hook = (void *)see_lock},
    {.symbol = "pthread_mutex_unlock", .hook = (void *)see_unlock},
    {.symbol = "pthread_cond_signal", .hook = (void *)see_signal},
};

static void step(char op, void *object)
{
    if (dance == NULL || dance->n == MAX_STEPS)
        return;
    dance->op[dance->n] = op;
    dance->object[dance->n++] = object;
}

static int see_lock(pthread_mutex_t *mutex)
{
    step(LOCK, mutex);
    return ((int (*)(pthread_mutex_t *))watches[0].real)(mutex);
}

static int see_unlock(pthread_mutex_t *mutex)
{
    step(UNLOCK, mutex);
    return ((int (*)(pthread_mutex_t *))watches[1].real)(mutex);
}

/* Find PyEval_SaveThread()'s return address in the frames below the dance. */
static void learn_save_thread(const void *const *caller_frame)
{
    Dl_info where;
    const ElfW(Sym) *symbol = NULL;
    save_return = NULL;
    if (!dladdr1((void *)PyEval_SaveThread, &where, (void **)&symbol, RTLD_DL_SYMENT) ||
        symbol == NULL)
        return;
    uintptr_t low = (uintptr_t)PyEval_SaveThread, high = low + symbol->st_size;
    for (unsigned i = 0; i < MAX_SAVE_DEPTH; i++) {
        uintptr_t word = (uintptr_t)caller_frame[i];
        if (word > low && word <= high) {
            save_return = caller_frame[i];
            save_depth = i;
            return;
        }
    }
}

static int see_signal(pthread_cond_t *cond)
{
    if (dance != NULL && dance->n < 3) /* the release; the acquire's comes later */
        learn_save_thread(GT_CALLER_FRAME);
    step(SIGNALLED, cond);
    return ((int (*)(pthread_cond_t *))watches[2].real)(cond);
}

/* drop: lock(M) signal(C) unlock(M), and lock(S) unlock(S) when a request was pending;
 * take: lock(M) lock(S) signal(SC) unlock(S) unlock(M). */
static bool shape_is_known(const dance_t *d)
{
    bool pending = d->n == 10;
    if (d->n != 8 && !pending)
        return false;
    if (memcmp(d->op, pending ? "LSULULLSUU" : "LSULLSUU", d->n) != 0)
        return false;
    void *const *take = d->object + (pending ? 5 : 3);
    void *mutex = d->object[0], *cond = d->object[1], *switch_mutex = take[1];
    return d->object[2] == mutex && take[0] == mutex && take[4] == mutex &&
           take[3] == switch_mutex && switch_mutex != mutex && take[2] != cond &&
           (!pending || (d->object[3] == switch_mutex && d->object[4] == switch_mutex));
}

static bool watch(const gt_image_t *image, dance_t *found, unsigned *attempts, gt_error_t *error)
{
    bool ok = true;
    for (int i = 0; i < 3 && ok; i++)
        ok = gt_patch_prepare(&watches[i], image);
    if (!ok)
        return gt_fail(error, "the interpreter does not call libc's pthread functions through its "
                           "global offset table (a static or a non-glibc build?)");
    for (int i = 0; i < 3 && ok; i++)
        ok = gt_patch_apply(&watches[i], image);
    /* Busy threads make CPython wait inside the dance; a few tries meet a quiet moment. */
    bool known = false;
    for (*attempts = 0; ok && !known && *attempts < 50; ++*attempts) {
        *found = (dance_t){0};
        dance = found;
        PyThreadState *state = PyEval_SaveThread();
        PyEval_RestoreThread(state);
        dance = NULL;
        known = shape_is_known(found);
    }
    for (int i = 0; i < 3; i++)
        gt_patch_undo(&watches[i], image);
    if (!ok)
        return gt_fail(error, "memory protection forbids redirecting the interpreter's calls");
    if (known)
        return true;
    char seen[MAX_STEPS + 1] = {0};
    memcpy(seen, found->op, found->n);
    snprintf(error->message, sizeof error->message,
             "this interpreter's GIL does not behave as CPython's does: letting it go and taking "
             "it back made the calls '%s' where 'LSULLSUU' was expected",
             seen);
    return false;
}

bool gt_calibrate(const gt_image_t *image, gt_calibration_t *found, gt_error_t *error)
{
    dance_t d;
    *found = (gt_calibration_t){0};
    if (!gt_gil_stays())
        return gt_fail(error, "this interpreter runs without a GIL, so there is none to record");
    if (!watch(image, &d, &found->attempts, error))
        return false;
    char *mutex = d.object[0];
    found->mutex = d.object[0];
    found->switch_mutex_offset = (char *)d.object[d.n - 4] - mutex;
    found->cond_offset = (char *)d.object[1] - mutex;
    found->switch_cond_offset = (char *)d.object[d.n - 3] - mutex;
    found->save_return = save_return;
    found->save_depth = save_depth;
    return true;
}

void gt_calibration_forked(const gt_image_t *image)
{
    dance = NULL;
    for (int i = 0; i < 3; i++)
        gt_patch_undo(&watches[i], image);
}
