/* The arena without Python: layout, single-threaded behaviour, and producers against a consumer.
 * Built under AddressSanitizer+UBSan and under ThreadSanitizer by `make sanitize`. */
#include "arena.h"

#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gt_arena_t make(uint32_t slots, uint32_t chunks, uint64_t codes)
{
    gt_arena_t arena;
    size_t bytes = gt_arena_bytes(slots, chunks, codes);
    void *memory = aligned_alloc(4096, bytes);
    memset(memory, 0, bytes);
    gt_arena_init(&arena, memory, slots, chunks, codes);
    return arena;
}

static void a_view_accepts_only_a_whole_arena(void)
{
    gt_arena_t arena = make(4, 16, 1024), seen;
    size_t bytes = gt_arena_bytes(4, 16, 1024);
    CHECK(gt_arena_view(&seen, arena.header, bytes));
    CHECK(seen.chunks == arena.chunks && seen.slots == arena.slots);
    CHECK(!gt_arena_view(&seen, arena.header, bytes - 1));
    CHECK(!gt_arena_view(&seen, arena.header, 16));
    arena.header->n_chunks = 1u << 31;
    CHECK(!gt_arena_view(&seen, arena.header, bytes));
    arena.header->n_chunks = 16;
    arena.header->magic[0] = 'X';
    CHECK(!gt_arena_view(&seen, arena.header, bytes));
    free(arena.header);
}

static void events_come_out_in_order_and_chunks_go_back(void)
{
    gt_arena_t arena = make(2, 16, 0);
    gt_writer_t writer = {0};
    CHECK(gt_attach(&arena, &writer, 42, 7));
    gt_event_t out[100];
    uint64_t expected = 0, written = 0;
    /* Ten times what the pool holds: works only if chunks are given back. */
    while (written < 160 * GT_CHUNK_EVENTS) {
        for (uint64_t end = written + 61; written < end; written++)
            CHECK(gt_push(&arena, &writer, written, written));
        for (size_t n; (n = gt_drain(&arena, 0, out, 100)) != 0;)
            for (size_t i = 0; i < n; i++, expected++)
                CHECK(out[i].ts == expected && out[i].data == expected);
    }
    CHECK(expected == written);
    CHECK(arena.slots[0].lost == 0);
    free(arena.header);
}

static void a_full_pool_drops_counts_and_says_so(void)
{
    gt_arena_t arena = make(1, 2, 0);
    gt_writer_t writer = {0};
    CHECK(gt_attach(&arena, &writer, 1, 0));
    unsigned stored = 0;
    while (gt_push(&arena, &writer, stored, stored))
        stored++;
    CHECK(stored == 2 * GT_CHUNK_EVENTS);
    CHECK(!gt_push(&arena, &writer, 0, 0));
    CHECK(arena.slots[0].lost == 2);
    gt_event_t out[2 * GT_CHUNK_EVENTS + 2];
    CHECK(gt_drain(&arena, 0, out, 2 * GT_CHUNK_EVENTS) == 2 * GT_CHUNK_EVENTS);
    CHECK(gt_push(&arena, &writer, 9, 99));
    CHECK(gt_drain(&arena, 0, out, 4) == 2);
    CHECK(out[0].data == gt_event_data(GT_LOST, 0, 0, 2) && out[0].ts == 9);
    CHECK(out[1].data == 99);
    free(arena.header);
}

static void slots_run_out_and_come_back(void)
{
    gt_arena_t arena = make(2, 16, 0);
    gt_writer_t a = {0}, b = {0}, c = {0};
    CHECK(gt_attach(&arena, &a, 1, 0) && gt_attach(&arena, &b, 2, 0));
    CHECK(!gt_attach(&arena, &c, 3, 0) && !gt_attach(&arena, &c, 3, 0));
    CHECK(gt_push(&arena, &a, 1, 1));
    CHECK(!gt_slot_free(&arena, 0)); /* an event is left */
    gt_event_t out[1];
    CHECK(gt_drain(&arena, 0, out, 1) == 1);
    CHECK(gt_slot_free(&arena, 0));
    uint32_t generation = arena.slots[0].generation;
    CHECK(gt_attach(&arena, &c, 3, 5));
    CHECK(c.slot == &arena.slots[0] && arena.slots[0].generation == generation + 1);
    CHECK(gt_push(&arena, &c, 2, 2) && gt_drain(&arena, 0, out, 1) == 1 && out[0].ts == 2);
    free(arena.header);
}

static void a_reserved_name_waits_for_its_thread(void)
{
    gt_arena_t arena = make(4, 16, 0);
    gt_slot_t *slot = gt_slot_for_tid(&arena, 77, 1);
    gt_slot_set_name(slot, "early", 5);
    CHECK(gt_slot_for_tid(&arena, 77, 2) == slot);
    gt_writer_t other = {0}, writer = {0};
    CHECK(gt_attach(&arena, &other, 78, 3) && other.slot != slot);
    CHECK(gt_attach(&arena, &writer, 77, 4) && writer.slot == slot);
    CHECK(arena.header->slots_reserved == 0);
    char name[GT_NAME_BYTES];
    uint32_t length;
    CHECK(gt_slot_get_name(slot, name, &length) && length == 5 && memcmp(name, "early", 5) == 0);
    char longer[GT_NAME_BYTES + 9];
    memset(longer, 'x', sizeof longer);
    gt_slot_set_name(slot, longer, sizeof longer);
    CHECK(gt_slot_get_name(slot, name, &length) && length == GT_NAME_BYTES);
    free(arena.header);
}

static void the_code_region_is_bounded(void)
{
    gt_arena_t arena = make(1, 16, 256);
    CHECK((char *)gt_code_claim(&arena, 128) == arena.codes);
    CHECK((char *)gt_code_claim(&arena, 128) == arena.codes + 128);
    CHECK(gt_code_claim(&arena, 8) == NULL);
    free(arena.header);
}

static void a_scribbled_chunk_does_not_lead_astray(void)
{
    gt_arena_t arena = make(1, 16, 0);
    gt_writer_t writer = {0};
    gt_event_t out[4];
    CHECK(gt_attach(&arena, &writer, 1, 0) && gt_push(&arena, &writer, 1, 1));
    writer.chunk->count = 1000000;
    CHECK(gt_drain(&arena, 0, out, 4) == 0);
    writer.chunk->count = 1;
    arena.slots[0].first = 999;
    CHECK(gt_drain(&arena, 0, out, 4) == 1); /* the first chunk is known already */
    arena.slots[0].read_chunk = 999;
    CHECK(gt_drain(&arena, 0, out, 4) == 0);
    free(arena.header);
}

/* Many producers share a pool too small for them, while one consumer drains and renames go on:
 * every event must come out once and in order, or be counted as lost. */
enum { PRODUCERS = 4, EVENTS = 60000 };

static gt_arena_t shared;
static gt_slot_t *slots[PRODUCERS];
static _Atomic int running;

static void *produce(void *argument)
{
    uint32_t me = (uint32_t)(uintptr_t)argument;
    gt_writer_t writer = {0};
    CHECK(gt_attach(&shared, &writer, me, me));
    slots[me] = writer.slot;
    char name[32];
    for (uint64_t i = 0; i < EVENTS; i++) {
        gt_push(&shared, &writer, me, gt_event_data(GT_ACQUIRE, 0, 0, i));
        if (i % 1000 == 0)
            gt_slot_set_name(writer.slot, name,
                             (size_t)snprintf(name, sizeof name, "%u-%u", me, me));
        if (i % 64 == 0)
            sched_yield();
    }
    running--;
    return NULL;
}

static void producers_and_consumer_agree(void)
{
    shared = make(8, 32, 0);
    running = PRODUCERS;
    pthread_t threads[PRODUCERS];
    for (uintptr_t i = 0; i < PRODUCERS; i++)
        CHECK(pthread_create(&threads[i], NULL, produce, (void *)i) == 0);
    uint64_t next[8] = {0}, lost[8] = {0}, got[8] = {0};
    for (int last = 0; last < 2; last += running == 0) {
        for (uint32_t s = 0; s < shared.header->slots_high; s++) {
            gt_event_t out[500];
            size_t n = gt_drain(&shared, s, out, 500);
            for (size_t i = 0; i < n; i++) {
                uint64_t value = out[i].data >> 16;
                if ((out[i].data & 15) == GT_LOST) {
                    lost[s] += value;
                    next[s] += value;
                    continue;
                }
                CHECK(value == next[s]);
                next[s]++;
                got[s]++;
            }
            char name[GT_NAME_BYTES];
            uint32_t length;
            if (gt_slot_get_name(&shared.slots[s], name, &length) && length != 0)
                CHECK(length == 3 && name[0] == name[2]);
            last = n != 0 ? 0 : last;
        }
    }
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < PRODUCERS; i++) {
        uint32_t s = (uint32_t)(slots[i] - shared.slots);
        CHECK(got[s] + slots[i]->lost == EVENTS);
        CHECK(lost[s] <= slots[i]->lost); /* what is lost at the very end is only counted */
    }
    free(shared.header);
}

/* Threads come and go, and some are named before they first write: slots and chunks go from hand
 * to hand, and nothing is lost on the way. */
enum { LIVES = 400, AT_ONCE = 6, EVENTS_OF_A_LIFE = 700, SLOTS = 16 };

static _Atomic uint32_t ended[SLOTS]; /* the thread that had the slot has; its generation */
static _Atomic uint32_t written, lives_over;
static pthread_mutex_t naming = PTHREAD_MUTEX_INITIALIZER;

static void *live(void *argument)
{
    uint32_t me = (uint32_t)(uintptr_t)argument;
    for (uint32_t life = 0; life < LIVES; life++) {
        uint32_t tid = 1 + life * AT_ONCE + me;
        gt_writer_t writer = {0};
        if (life % 3 == 0) {
            pthread_mutex_lock(&naming); /* the GIL, as it were */
            gt_slot_t *slot = gt_slot_for_tid(&shared, tid, life);
            if (slot != NULL)
                gt_slot_set_name(slot, "named", 5);
            pthread_mutex_unlock(&naming);
        }
        while (!gt_attach(&shared, &writer, tid, life))
            sched_yield();
        for (uint64_t i = 0; i < EVENTS_OF_A_LIFE; i++)
            while (!gt_push(&shared, &writer, tid, i))
                sched_yield();
        atomic_fetch_add(&written, EVENTS_OF_A_LIFE);
        atomic_store(&ended[writer.slot - shared.slots], writer.slot->generation);
    }
    lives_over++;
    return NULL;
}

/* Takes what there is of one slot. Pushes that found no room were made again, so that only LOST
 * tells of them. */
static uint64_t take(uint32_t s, uint64_t *next)
{
    gt_event_t out[300];
    uint64_t taken = 0;
    for (size_t n; (n = gt_drain(&shared, s, out, 300)) != 0;)
        for (size_t i = 0; i < n; i++) {
            if ((out[i].data & 15) == GT_LOST && out[i].data >> 16 != 0 && out[i].data != *next)
                continue;
            CHECK(out[i].data == *next && out[i].ts == shared.slots[s].tid);
            ++*next;
            taken++;
        }
    return taken;
}

static void slots_and_chunks_go_from_hand_to_hand(void)
{
    shared = make(SLOTS, 64, 0);
    pthread_t threads[AT_ONCE];
    for (uintptr_t i = 0; i < AT_ONCE; i++)
        CHECK(pthread_create(&threads[i], NULL, live, (void *)i) == 0);
    uint64_t taken = 0, next[SLOTS] = {0};
    for (int last = 0; last < 2; last += lives_over == AT_ONCE)
        for (uint32_t s = 0; s < SLOTS; s++) {
            gt_slot_t *slot = &shared.slots[s];
            uint32_t over = atomic_load(&ended[s]);
            if (atomic_load_explicit(&slot->state, memory_order_acquire) != GT_SLOT_ACTIVE)
                continue;
            bool is_over = over != 0 && over == atomic_load(&slot->generation);
            taken += take(s, &next[s]);
            if (is_over && gt_slot_free(&shared, s))
                next[s] = 0;
        }
    for (int i = 0; i < AT_ONCE; i++)
        pthread_join(threads[i], NULL);
    CHECK(taken == written && written == (uint32_t)AT_ONCE * LIVES * EVENTS_OF_A_LIFE);
    CHECK(shared.header->slots_reserved == 0);
    CHECK(shared.header->free_tail - shared.header->free_head == 64);
    free(shared.header);
}

static void a_slot_is_freed_once(void)
{
    gt_arena_t arena = make(2, 16, 0);
    gt_writer_t writer = {0};
    gt_event_t out[1];
    CHECK(gt_attach(&arena, &writer, 1, 0) && gt_push(&arena, &writer, 1, 1));
    CHECK(gt_drain(&arena, 0, out, 1) == 1 && gt_slot_free(&arena, 0));
    uint64_t chunks = arena.header->free_tail;
    CHECK(!gt_slot_free(&arena, 0) && !gt_slot_free(&arena, 1));
    CHECK(arena.header->free_tail == chunks);
    free(arena.header);
}

/* The target scribbles over its memory for as long as it is read: that must not lead out of it.
 * Not under ThreadSanitizer: these are races, on purpose. */
#ifndef __SANITIZE_THREAD__
static gt_arena_t theirs; /* the same memory; the reader's view of it is its own */

static void *scribble(void *unused)
{
    static const uint32_t values[] = {0, 1, 2, 3, 252, 253, 16, 17, 1u << 31, UINT32_MAX};
    uint64_t luck = 1;
    while (running) {
        gt_slot_t *slot = &theirs.slots[dice(&luck, 4)];
        gt_chunk_t *chunk = &theirs.chunks[dice(&luck, 16)];
        _Atomic uint32_t *const fields[] = {
            &slot->state, &slot->first, &slot->read_chunk, &slot->read_count, &slot->name_len,
            &slot->name_seq, &chunk->count, &chunk->next, &theirs.header->slots_high,
            &theirs.free[dice(&luck, 16)],
        };
        unsigned field = dice(&luck, sizeof fields / sizeof *fields);
        unsigned value = dice(&luck, sizeof values / sizeof *values);
        atomic_store_explicit(fields[field], values[value], memory_order_relaxed);
    }
    return unused;
}

static void memory_that_changes_under_our_eyes_does_not_lead_astray(void)
{
    gt_arena_t arena = theirs = make(4, 16, 1024);
    running = 1;
    pthread_t target;
    CHECK(pthread_create(&target, NULL, scribble, NULL) == 0);
    uint64_t taken = 0;
    for (int round = 0; round < 400000; round++) {
        gt_event_t *out = malloc(40 * sizeof *out); /* so that one too many is noticed */
        char *name = malloc(GT_NAME_BYTES);
        uint32_t length = 0, s = (uint32_t)round % 4;
        size_t n = gt_drain(&arena, s, out, 40);
        CHECK(n <= 40);
        taken += n;
        if (gt_slot_get_name(&arena.slots[s], name, &length))
            CHECK(length <= GT_NAME_BYTES);
        gt_slot_free(&arena, s);
        free(out);
        free(name);
    }
    CHECK(taken != 0);
    running = 0;
    pthread_join(target, NULL);
    free(arena.header);
}
#endif

static void wishes_are_heard_in_order_and_bounded(void)
{
    gt_arena_t arena = make(4, 16, 1024);
    gt_wish_t wish = {1, -1, 7}, heard;
    CHECK(!gt_wish_next(&arena, &heard));
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < GT_WISHES; i++) {
            wish.tid = i + 1;
            CHECK(gt_wish(&arena, &wish));
        }
        CHECK(!gt_wish(&arena, &wish));
        for (uint32_t i = 0; i < GT_WISHES; i++)
            CHECK(gt_wish_next(&arena, &heard) && heard.tid == i + 1 && heard.level == -1);
        CHECK(!gt_wish_next(&arena, &heard));
    }
    /* Whoever scribbles over the counters is not followed for ever. */
    atomic_store(&arena.header->wishes, 1u << 30);
    CHECK(!gt_wish_next(&arena, &heard));
    CHECK(gt_wish(&arena, &wish) && gt_wish_next(&arena, &heard) && heard.born == 7);
    free(arena.header);
}

static void *make_wishes(void *argument)
{
    gt_arena_t *arena = argument;
    gt_wish_t wish = {0};
    while (wish.tid < 20000) {
        wish.tid++;
        wish.level = (int32_t)wish.tid * 3;
        while (!gt_wish(arena, &wish))
            sched_yield();
    }
    return NULL;
}

static void a_wish_is_whole_when_it_is_heard(void)
{
    gt_arena_t arena = make(4, 16, 1024);
    pthread_t recorder;
    gt_wish_t heard = {0};
    CHECK(pthread_create(&recorder, NULL, make_wishes, &arena) == 0);
    for (uint32_t last = 0; last < 20000;) {
        if (!gt_wish_next(&arena, &heard)) {
            sched_yield();
            continue;
        }
        CHECK(heard.tid == last + 1 && heard.level == (int32_t)heard.tid * 3);
        last = heard.tid;
    }
    pthread_join(recorder, NULL);
    free(arena.header);
}

int main(void)
{
    a_view_accepts_only_a_whole_arena();
    events_come_out_in_order_and_chunks_go_back();
    a_full_pool_drops_counts_and_says_so();
    slots_run_out_and_come_back();
    a_reserved_name_waits_for_its_thread();
    the_code_region_is_bounded();
    a_scribbled_chunk_does_not_lead_astray();
    producers_and_consumer_agree();
    a_slot_is_freed_once();
    slots_and_chunks_go_from_hand_to_hand();
#ifndef __SANITIZE_THREAD__
    memory_that_changes_under_our_eyes_does_not_lead_astray();
#endif
    wishes_are_heard_in_order_and_bounded();
    a_wish_is_whole_when_it_is_heard();
    puts("arena: ok");
    return 0;
}
