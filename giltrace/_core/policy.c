#define _GNU_SOURCE
#include "policy.h"

#include "levels.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MS INT64_C(1000000)
#define DEFAULT_INTERVAL_NS ((uint64_t)(5 * MS))

/* Accounts (auto). A thread that is off the GIL earns what it would use in that time, up to the
 * credit; one that is new starts with a little. */
#define CREDIT_NS (10 * MS)
#define NEW_CREDIT_NS (CREDIT_NS / 4)

/* How far behind a waiter's account has to be for it to interrupt the holder: what it is going to
 * use, but at least so much, or two busy threads would do nothing but take turns. */
#define LEAST_LEAD_NS UINT64_C(50000)

/* Ageing: who has waited this long, or for two rounds of all that wait, is served next and may
 * keep the GIL for a switch interval; such turns take a fifth of the time at most, or urgent
 * threads would be worse off than without priorities. */
#define AGE_NS ((uint64_t)(100 * MS))
#define AGED_PAUSE 4

/* After so many releases in a row with nobody waiting, accounts are kept by the kernel's tick: right
 * on the whole, and by the clock again from the moment at which somebody waits. */
#define QUIET_AFTER 64

/* With few waiters each keeps its own time. With many, each wakes up less often, so that all of
 * them together still wake up some times in an interval: any may make the request that is due. */
#define FEW 8

/* The GIL of another interpreter can vanish, so nobody wakes its waiters when the policy ends. */
#define LONGEST_SLEEP_NS ((uint64_t)(1000 * MS))
#define LONGEST_SLEEP_ASIDE_NS ((uint64_t)(20 * MS))

#define NEVER UINT64_MAX

_Atomic uint32_t gt_policy_mode;
_Thread_local gt_turn_t gt_turn __attribute__((tls_model("initial-exec"), visibility("hidden")));

static _Atomic uint32_t epoch = 1;
static pthread_condattr_t monotonic;

static inline bool is_auto(void)
{
    return atomic_load_explicit(&gt_policy_mode, memory_order_relaxed) == GT_POLICY_AUTO;
}

static inline uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* --- What is known of threads and GILs ----------------------------------------------- */

static void look_up_level(uint32_t changes)
{
    int level;
    if (gt_levels_get(gt_policy_tid(), gt_levels_born, &level))
        atomic_store_explicit(&gt_turn.level, level, memory_order_relaxed);
    gt_turn.looked = changes;
}

void gt_policy_look(void)
{
    uint32_t changes = atomic_load_explicit(&gt_levels_changes, memory_order_acquire);
    if (gt_turn.looked != changes)
        look_up_level(changes);
}

/* The thread and the GIL as this policy knows them. */
static inline void meet(gt_turns_t *turns)
{
    uint32_t now = atomic_load_explicit(&epoch, memory_order_relaxed);
    if (turns->epoch != now)
        *turns = (gt_turns_t){.epoch = now, .main = turns->main, .queue = turns->queue,
                              .interval_ns = DEFAULT_INTERVAL_NS};
    if (gt_turn.epoch != now || gt_turn.gil != turns) {
        gt_turn.epoch = now;
        gt_turn.gil = turns;
        gt_turn.account_ns = turns->floor_ns - NEW_CREDIT_NS;
        gt_turn.burst_ns = gt_turn.usual_ns = gt_turn.released_ns = gt_turn.asked_ns = 0;
    }
    gt_policy_look();
}

/* The holder's account as it stands now. */
static inline int64_t running_account(const gt_turns_t *turns, uint64_t now)
{
    return turns->holder->account_ns + (int64_t)(now - turns->acquired_ns);
}

static inline void raise_floor(gt_turns_t *turns, int64_t to)
{
    if (turns->queue.first != NULL && turns->queue.first->account_ns < to)
        to = turns->queue.first->account_ns;
    if (to > turns->floor_ns)
        turns->floor_ns = to;
}

/* The thread comes back: what it did not use meanwhile is to its credit. */
static inline void earn(gt_turns_t *turns, uint64_t now)
{
    if (turns->holder != NULL)
        raise_floor(turns, running_account(turns, now));
    if (gt_turn.released_ns != 0 && now > gt_turn.released_ns)
        gt_turn.account_ns -= (int64_t)(now - gt_turn.released_ns);
    if (gt_turn.account_ns < turns->floor_ns - CREDIT_NS)
        gt_turn.account_ns = turns->floor_ns - CREDIT_NS;
}

static inline uint64_t age_ns(const gt_turns_t *turns)
{
    return later(AGE_NS, 2 * turns->queue.n * turns->interval_ns);
}

/* --- Taking and letting go ----------------------------------------------------------- */

/* The time, as exactly as anyone is going to ask for it: levels need none as long as nobody waits.
 */
static inline uint64_t time_for(const gt_turns_t *turns, gt_clock_t *clock)
{
    if (turns->queue.n != 0 || turns->aged)
        return gt_clock_ns(clock);
    if (!is_auto())
        return 0;
    return turns->quiet < QUIET_AFTER ? gt_clock_ns(clock) : gt_coarse_ns();
}

void gt_policy_acquired(gt_turns_t *turns, gt_clock_t *clock)
{
    meet(turns);
    uint64_t now = time_for(turns, clock);
    if (gt_turn.asked_ns == 0 && is_auto())
        earn(turns, now);
    gt_turn.asked_ns = 0;
    if (turns->handed != NULL) { /* to one that has not come yet, and will find it taken */
        turns->handed = NULL;
        turns->aged = false;
    }
    if (turns->last != &gt_turn) {
        turns->last = &gt_turn;
        turns->switches++;
    }
    turns->holder = &gt_turn;
    turns->free = false;
    turns->acquired_ns = now;
    turns->requested_ns = 0;
}

/* Choose who is next and wake it. It stays queued until it comes: see policy.h. */
static void hand_on(gt_turns_t *turns, uint64_t now)
{
    gt_waiter_t *next = turns->queue.first, *oldest = turns->queue.oldest;
    turns->handed = next;
    turns->aged = false;
    if (next == NULL)
        return;
    if (now - oldest->asked_ns >= age_ns(turns) && now >= turns->next_aged_ns) {
        turns->handed = oldest;
        turns->aged = true;
    }
    pthread_cond_signal(&turns->handed->cond);
}

/* What the tenure that ends comes to. */
static void charge(gt_turns_t *turns, uint64_t now, bool by_itself)
{
    uint64_t held = now > turns->acquired_ns ? now - turns->acquired_ns : 0;
    if (turns->aged)
        turns->next_aged_ns = now + AGED_PAUSE * held;
    if (!is_auto())
        return;
    gt_turn.account_ns += (int64_t)held;
    gt_turn.burst_ns += held;
    if (gt_turn.burst_ns > gt_turn.usual_ns)
        gt_turn.usual_ns = gt_turn.burst_ns;
    if (by_itself) {
        gt_turn.usual_ns = (gt_turn.usual_ns + gt_turn.burst_ns) / 2;
        gt_turn.burst_ns = 0;
    }
    raise_floor(turns, gt_turn.account_ns);
}

void gt_policy_released(gt_turns_t *turns, gt_clock_t *clock, bool by_itself)
{
    meet(turns);
    uint64_t now = time_for(turns, clock);
    if (turns->queue.n == 0 && turns->quiet < QUIET_AFTER)
        turns->quiet++;
    by_itself |= turns->requested_ns == 0;
    if (turns->holder == &gt_turn)
        charge(turns, now, by_itself);
    /* Who was made to let go is on its way back; that is no time off by its own will. */
    gt_turn.released_ns = by_itself ? now : 0;
    turns->released_ns = now;
    turns->holder = NULL;
    turns->free = true;
    hand_on(turns, now);
}

/* --- Waiting ------------------------------------------------------------------------- */

/* When a waiter wants the holder to be asked to let go. */
static uint64_t request_at(const gt_turns_t *turns, const gt_waiter_t *waiter)
{
    uint64_t regular = later(waiter->asked_ns, turns->acquired_ns) + turns->interval_ns;
    uint64_t earliest = turns->requested_ns != 0 ? turns->requested_ns + turns->interval_ns : 0;
    uint64_t aged = later(waiter->asked_ns + age_ns(turns), turns->next_aged_ns);
    uint64_t at = regular;
    if (turns->aged) {
        earliest = later(earliest, turns->acquired_ns + turns->interval_ns);
    } else if (turns->holder != NULL) {
        int level = atomic_load_explicit(&turns->holder->level, memory_order_relaxed);
        if (waiter->level > level) {
            at = 0;
        } else if (waiter->level < level) {
            at = NEVER;
        } else if (is_auto()) {
            /* Even when the accounts are, then as soon as the lead is worth a switch. */
            int64_t behind_ns = waiter->account_ns - turns->holder->account_ns;
            uint64_t lead = sooner(later(waiter->usual_ns, LEAST_LEAD_NS), turns->interval_ns);
            int64_t even = (int64_t)turns->acquired_ns + behind_ns;
            int64_t ahead = even + (int64_t)lead;
            if (ahead > (int64_t)regular)
                ahead = even > (int64_t)regular ? even : (int64_t)regular;
            at = ahead > 0 ? (uint64_t)ahead : 0;
        }
    }
    return later(sooner(at, aged), earliest);
}

/* When anything is due for which this waiter has to be awake. */
static uint64_t due_at(const gt_turns_t *turns, const gt_waiter_t *waiter)
{
    if (turns->free) /* and handed to one who does not come: not scheduled, or gone */
        return turns->released_ns + turns->interval_ns;
    uint64_t at = request_at(turns, waiter);
    if (turns->queue.first != NULL)
        at = sooner(at, request_at(turns, turns->queue.first));
    if (turns->queue.oldest != NULL)
        at = sooner(at, request_at(turns, turns->queue.oldest));
    return at;
}

static void sleep_until(const gt_turns_t *turns, gt_waiter_t *waiter, pthread_mutex_t *mutex,
                        uint64_t now, uint64_t at)
{
    const gt_queue_t *queue = &turns->queue;
    if (queue->n > FEW && waiter != queue->first && waiter != queue->oldest)
        at = later(at, now + turns->interval_ns * queue->n / FEW);
    uint64_t longest = turns->main ? LONGEST_SLEEP_NS : LONGEST_SLEEP_ASIDE_NS;
    at = sooner(at, now + longest);
    struct timespec until = {(time_t)(at / 1000000000), (long)(at % 1000000000)};
    pthread_cond_timedwait(&waiter->cond, mutex, &until);
}

/* The deadline was computed some 100 ns ago, or longer if we were descheduled in between: take a
 * longer interval for true at once, a shorter one by and by. */
static void learn_interval(gt_turns_t *turns, uint64_t now, const struct timespec *deadline)
{
    int64_t left = (int64_t)deadline->tv_sec * 1000000000 + deadline->tv_nsec - (int64_t)now;
    if (left <= 0 || left > 60000 * MS)
        return;
    uint64_t known = turns->interval_ns - turns->interval_ns / 8;
    turns->interval_ns = later((uint64_t)left, known);
}

static void describe(gt_waiter_t *waiter)
{
    waiter->level = atomic_load_explicit(&gt_turn.level, memory_order_relaxed);
    waiter->account_ns = is_auto() ? gt_turn.account_ns : 0;
    waiter->asked_ns = gt_turn.asked_ns;
    waiter->usual_ns = gt_turn.usual_ns;
    waiter->thread = &gt_turn;
    waiter->leave = false;
}

static uint64_t ask(gt_turns_t *turns, gt_clock_t *clock)
{
    meet(turns);
    uint64_t now = gt_clock_ns(clock);
    if (turns->quiet == QUIET_AFTER) /* the tenure began at some time in the tick that was noted */
        turns->acquired_ns = sooner(turns->acquired_ns + gt_tick_ns, now);
    turns->quiet = 0;
    if (gt_turn.asked_ns == 0) {
        if (is_auto())
            earn(turns, now);
        gt_turn.asked_ns = now;
    }
    return now;
}

bool gt_policy_gives_way(gt_turns_t *turns, gt_clock_t *clock)
{
    const gt_waiter_t *handed = turns->handed;
    gt_waiter_t mine;
    uint64_t now = ask(turns, clock);
    describe(&mine);
    if (turns->aged || handed->level != mine.level)
        return turns->aged || handed->level > mine.level;
    /* Between equals who is already running goes first, as in CPython: to switch at each release
     * is what makes a convoy. Within limits, or who runs would never have to stop. */
    if (!is_auto())
        return now - handed->asked_ns >= turns->interval_ns;
    uint64_t lead = sooner(later(handed->usual_ns, LEAST_LEAD_NS), turns->interval_ns);
    return handed->account_ns + (int64_t)lead < mine.account_ns;
}

/* Returns 0, or ETIMEDOUT when a drop request is due. */
static int wait_queued(gt_turns_t *turns, gt_clock_t *clock, pthread_mutex_t *mutex,
                       gt_waiter_t *waiter, uint64_t now)
{
    uint32_t began = atomic_load_explicit(&epoch, memory_order_relaxed);
    uint64_t switches = turns->switches;
    int result = 0;
    bool slept = false;
    pthread_cond_init(&waiter->cond, &monotonic);
    gt_queue_add(&turns->queue, waiter);
    for (;;) {
        uint64_t at = due_at(turns, waiter);
        /* Who has made a request sleeps before the next, or the holder might never get the mutex
         * that it needs in order to let go. */
        bool again = turns->requested_ns != 0 && !slept;
        if (now >= at && !again) {
            /* take_gil() makes a request only if the GIL has not changed hands since it called
             * us. If it has, it calls us again, and this time it has not. */
            if (!turns->free && turns->switches == switches)
                result = ETIMEDOUT;
            break;
        }
        sleep_until(turns, waiter, mutex, now, again ? later(at, now + LEAST_LEAD_NS) : at);
        slept = true;
        now = gt_clock_ns(clock);
        if (waiter->leave || turns->handed == waiter ||
            atomic_load_explicit(&epoch, memory_order_relaxed) != began)
            break;
    }
    gt_queue_remove(&turns->queue, waiter);
    pthread_cond_destroy(&waiter->cond);
    if (turns->handed == waiter)
        turns->handed = NULL; /* on its way: nothing comes between here and its acquire */
    return result;
}

int gt_policy_wait(gt_turns_t *turns, gt_clock_t *clock, pthread_mutex_t *mutex,
                   const struct timespec *deadline, bool *early)
{
    gt_waiter_t waiter;
    uint64_t now = ask(turns, clock);
    *early = false;
    if (deadline != NULL)
        learn_interval(turns, now, deadline);
    describe(&waiter);
    int result = ETIMEDOUT;
    if (turns->free || turns->requested_ns != 0 || now < request_at(turns, &waiter))
        result = wait_queued(turns, clock, mutex, &waiter, now);
    if (result == ETIMEDOUT && deadline != NULL) {
        now = gt_clock_ns(clock);
        *early = now < later(waiter.asked_ns, turns->acquired_ns) + turns->interval_ns;
        turns->requested_ns = now;
    }
    return result;
}

/* --- Beginning and end --------------------------------------------------------------- */

bool gt_policy_setup(void)
{
    return pthread_condattr_init(&monotonic) == 0 &&
           pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0;
}

/* Make every waiter look anew: it goes back to the interpreter, which sends it to sleep under
 * whatever rules hold by then. */
static void flush(gt_turns_t *turns)
{
    for (gt_waiter_t *waiter = turns->queue.oldest; waiter != NULL; waiter = waiter->newer) {
        waiter->leave = true;
        pthread_cond_signal(&waiter->cond);
    }
    turns->handed = NULL;
}

void gt_policy_begins(gt_turns_t *turns, gt_policy_t policy)
{
    atomic_store(&gt_policy_mode, policy);
    if (atomic_fetch_add(&epoch, 1) == UINT32_MAX)
        atomic_fetch_add(&epoch, 1);
    flush(turns);
    turns->main = true;
    if (policy != GT_POLICY_CPYTHON) {
        gt_clock_t clock = {0};
        gt_policy_acquired(turns, &clock);
    }
}

void gt_policy_level_changed(gt_turns_t *turns, uint32_t tid, int level)
{
    if (turns->holder != NULL && turns->holder->tid == tid) {
        atomic_store_explicit(&turns->holder->level, level, memory_order_relaxed);
        if (turns->queue.first != NULL) /* it may be less urgent than that one now */
            pthread_cond_signal(&turns->queue.first->cond);
        return;
    }
    for (gt_waiter_t *waiter = turns->queue.oldest; waiter != NULL; waiter = waiter->newer) {
        gt_turn_t *turn = waiter->thread;
        if (turn->tid != tid)
            continue;
        atomic_store_explicit(&turn->level, level, memory_order_relaxed);
        gt_queue_remove(&turns->queue, waiter);
        waiter->level = level;
        gt_queue_add(&turns->queue, waiter);
        pthread_cond_signal(&waiter->cond); /* what it waits for may be due now */
        return;
    }
}

void gt_policy_forked(gt_turns_t *turns)
{
    int level = atomic_load_explicit(&gt_turn.level, memory_order_relaxed);
    uint32_t tid = (uint32_t)syscall(SYS_gettid);
    gt_levels_forked(tid, level);
    memset(turns, 0, sizeof *turns);
    memset(&gt_turn, 0, sizeof gt_turn);
    gt_turn.level = level;
    gt_turn.tid = tid;
    gt_policy_begins(turns, atomic_load(&gt_policy_mode));
}

uint32_t gt_policy_tid(void)
{
    if (gt_turn.tid == 0)
        gt_turn.tid = (uint32_t)syscall(SYS_gettid);
    return gt_turn.tid;
}
