#define _GNU_SOURCE
#include "compat.h"

#include "tap.h"

#include "calls.h"
#include "clock.h"
#include "frames.h"
#include "gils.h"
#include "hooks.h"
#include "levels.h"

#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static gt_image_t image;
static bool installed;
static gt_forked_t on_fork;

/* --- Probing ------------------------------------------------------------------------- */

static bool find_image(gt_error_t *error)
{
    if (!gt_image_find(&image, (void *)PyEval_SaveThread))
        return gt_fail(error, "cannot find the interpreter's own image in memory "
                           "(a fully static Python has no calls to redirect)");
    return true;
}

bool gt_tap_probe(gt_tap_facts_t *facts, gt_error_t *error)
{
    gt_calibration_t found = gt_layout;
    *facts = (gt_tap_facts_t){0};
    if (!installed) {
        if (!find_image(error) || !gt_calibrate(&image, &found, error) ||
            !gt_hooks_prepare(&image, true, error))
            return false;
        facts->attempts = found.attempts;
    }
    snprintf(facts->image, sizeof facts->image, "%s", image.name);
    facts->cond_offset = (size_t)found.cond_offset;
    facts->switch_cond_offset = (size_t)found.switch_cond_offset;
    return true;
}

/* --- Start and stop ------------------------------------------------------------------ */

static void uninstall(void)
{
    gt_hooks_remove(&image, GT_HOOKS_RECORD);
    installed = false;
}

static bool forbidden(gt_error_t *error)
{
    return gt_fail(error, "memory protection forbids redirecting the interpreter's calls");
}

bool gt_tap_install(gt_error_t *error)
{
    if (installed)
        return true;
    gt_calibration_t found;
    if (!find_image(error) || !gt_calibrate(&image, &found, error) ||
        !gt_hooks_prepare(&image, false, error))
        return false;
    gt_gils_begin(&found);
    installed = true;
    if (gt_hooks_install(&image, GT_HOOKS_RECORD))
        return true;
    uninstall();
    return forbidden(error);
}

bool gt_tap_start(const gt_arena_t *arena, unsigned stacks, gt_error_t *error)
{
    if (gt_tap_recording())
        return gt_fail(error, "this process is being recorded already");
    if (PyThreadState_Get()->interp != PyInterpreterState_Main())
        return gt_fail(error, "recording must be started from the main interpreter");
#if defined(Py_REF_DEBUG) && PY_VERSION_HEX >= 0x030C0000
    /* There Py_INCREF() needs a current thread state, which drop_gil() has taken away. */
    return gt_fail(error, "a debug build of Python cannot be recorded");
#endif
    if (!gt_tap_install(error))
        return false;
    gt_frames_reset();
    gt_calls_reset();
    gt_recording_begins(stacks);
    atomic_store(&arena->header->policy, gt_tap_policy());
    gt_gils_record(arena);
    return true;
}

/* The last that is recorded: threads get back the priorities that they had. */
static void return_levels(void)
{
    gt_levels_return(gt_hooks_level_changed);
}

void gt_tap_stop(void)
{
    if (gt_tap_recording()) {
        gt_gils_stop(return_levels);
        gt_self.writer = (gt_writer_t){0};
        gt_frames_reset();
    }
    if (installed && !gt_has_policy())
        uninstall();
}

/* --- The policy ---------------------------------------------------------------------- */

bool gt_tap_set_policy(gt_policy_t policy, gt_error_t *error)
{
    bool before = gt_has_policy();
    if (policy == GT_POLICY_CPYTHON && !before)
        return true;
    if (PyThreadState_Get()->interp != PyInterpreterState_Main())
        return gt_fail(error, "the policy belongs to the main interpreter");
    if (!gt_tap_install(error))
        return false;
    if (!before && !gt_hooks_install(&image, GT_HOOKS_POLICY)) {
        if (!gt_tap_recording())
            uninstall();
        return forbidden(error);
    }
    pthread_mutex_lock(gt_layout.mutex);
    gt_policy_begins(&gt_gils[0].turns, policy);
    pthread_mutex_unlock(gt_layout.mutex);
    if (gt_tap_recording())
        atomic_store(&gt_tap_arena()->header->policy, policy);
    if (policy != GT_POLICY_CPYTHON)
        return true;
    gt_hooks_settle();
    gt_hooks_remove(&image, GT_HOOKS_POLICY);
    if (!gt_tap_recording())
        uninstall();
    return true;
}

gt_policy_t gt_tap_policy(void)
{
    return atomic_load(&gt_policy_mode);
}

bool gt_tap_set_level(uint32_t tid, int level, bool lent)
{
    bool mine = tid == gt_policy_tid();
    uint64_t born = gt_levels_born(tid);
    bool hooked = installed; /* then the recorder may have wishes as well */
    if (hooked)
        pthread_mutex_lock(gt_layout.mutex);
    bool done = gt_levels_set(tid, born, level, !mine, lent);
    if (done && mine)
        atomic_store(&gt_turn.level, level);
    if (done && hooked)
        gt_hooks_level_changed(tid, level);
    if (hooked)
        pthread_mutex_unlock(gt_layout.mutex);
    return done;
}

int gt_tap_level(uint32_t tid)
{
    int level = 0;
    gt_levels_get(tid, gt_levels_born, &level);
    return level;
}

bool gt_tap_installed(void)
{
    return installed;
}

bool gt_tap_recording(void)
{
    return gt_gils_arena() != NULL;
}

const gt_arena_t *gt_tap_arena(void)
{
    return gt_gils_arena();
}

unsigned gt_tap_gils(void)
{
    return gt_gils_count();
}

bool gt_tap_name_thread(uint32_t tid, const char *name, size_t length)
{
    const gt_arena_t *arena = gt_gils_arena();
    if (arena == NULL)
        return false;
    gt_slot_t *slot;
    if (tid == (uint32_t)syscall(SYS_gettid))
        slot = gt_writable(arena, gt_now_ns()) ? gt_self.writer.slot : NULL;
    else
        slot = gt_slot_for_tid(arena, tid, gt_now_ns());
    if (slot == NULL)
        return false;
    gt_slot_set_name(slot, name, length);
    return true;
}

/* --- Fork ---------------------------------------------------------------------------- */

static void fork_child(void)
{
    gt_gils_forked();
    gt_hooks_forked();
    gt_policy_forked(&gt_gils[0].turns);
    gt_self = (gt_self_t){0};
    gt_recording_begins(1);
    gt_gils_after_fork();
    gt_calibration_forked(&image);
    if (on_fork != NULL)
        on_fork();
}

void gt_tap_on_fork(gt_forked_t forked)
{
    on_fork = forked;
}

bool gt_tap_setup(gt_error_t *error)
{
    static bool done;
    if (done)
        return true;
    gt_clock_setup();
    if (!gt_policy_setup() || pthread_atfork(gt_gils_before_fork, gt_gils_after_fork, fork_child) != 0)
        return gt_fail(error, "cannot register fork handlers (out of memory)");
    done = true;
    return true;
}
