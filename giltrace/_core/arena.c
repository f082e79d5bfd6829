#include "arena.h"

#include <string.h>

#define ROUND_UP(n, to) (((n) + (to) - 1) / (to) * (to))

typedef struct {
    uint64_t gils, slots, free, codes, chunks, total;
} layout_t;

static layout_t layout(uint32_t n_slots, uint32_t n_chunks, uint64_t codes_bytes)
{
    layout_t at;
    at.gils = ROUND_UP(sizeof(gt_header_t), GT_CHUNK_BYTES);
    at.slots = at.gils + sizeof(gt_gil_row_t) * (GT_MAX_GILS + 1);
    at.free = at.slots + sizeof(gt_slot_t) * (uint64_t)n_slots;
    at.codes = ROUND_UP(at.free + sizeof(uint32_t) * (uint64_t)n_chunks, GT_CACHE_LINE);
    at.chunks = ROUND_UP(at.codes + codes_bytes, GT_CHUNK_BYTES);
    at.total = at.chunks + sizeof(gt_chunk_t) * (uint64_t)n_chunks;
    return at;
}

static void point(gt_arena_t *arena, char *base, const layout_t *at, uint32_t n_slots,
                  uint32_t n_chunks, uint64_t codes_bytes)
{
    arena->n_slots = n_slots;
    arena->n_chunks = n_chunks;
    arena->codes_bytes = codes_bytes;
    arena->header = (gt_header_t *)base;
    arena->gils = (gt_gil_row_t *)(base + at->gils);
    arena->slots = (gt_slot_t *)(base + at->slots);
    arena->free = (_Atomic uint32_t *)(base + at->free);
    arena->codes = base + at->codes;
    arena->chunks = (gt_chunk_t *)(base + at->chunks);
}

size_t gt_arena_bytes(uint32_t n_slots, uint32_t n_chunks, uint64_t codes_bytes)
{
    return layout(n_slots, n_chunks, codes_bytes).total;
}

void gt_arena_init(gt_arena_t *arena, void *memory, uint32_t n_slots, uint32_t n_chunks,
                   uint64_t codes_bytes)
{
    layout_t at = layout(n_slots, n_chunks, codes_bytes);
    point(arena, memory, &at, n_slots, n_chunks, codes_bytes);
    gt_header_t *header = arena->header;
    memcpy(header->magic, GT_ARENA_MAGIC, sizeof header->magic);
    header->format = GT_FORMAT;
    header->event_bytes = sizeof(gt_event_t);
    header->total_bytes = at.total;
    header->n_slots = n_slots;
    header->n_chunks = n_chunks;
    header->off_gils = at.gils;
    header->off_slots = at.slots;
    header->off_free = at.free;
    header->off_codes = at.codes;
    header->off_chunks = at.chunks;
    header->codes_bytes = codes_bytes;
    for (uint32_t i = 0; i < n_chunks; i++)
        atomic_store_explicit(&arena->free[i], i, memory_order_relaxed);
    atomic_store(&header->free_tail, n_chunks);
}

bool gt_arena_view(gt_arena_t *arena, void *memory, size_t bytes)
{
    gt_header_t *header = memory;
    if (bytes < sizeof *header)
        return false;
    uint32_t n_slots = header->n_slots, n_chunks = header->n_chunks;
    uint64_t codes_bytes = header->codes_bytes;
    if (memcmp(header->magic, GT_ARENA_MAGIC, sizeof header->magic) != 0 ||
        header->format != GT_FORMAT || header->event_bytes != sizeof(gt_event_t) ||
        codes_bytes > bytes || n_slots == 0 || n_chunks == 0)
        return false;
    layout_t at = layout(n_slots, n_chunks, codes_bytes);
    if (at.total != bytes || header->total_bytes != bytes || header->off_chunks != at.chunks)
        return false;
    point(arena, memory, &at, n_slots, n_chunks, codes_bytes);
    return true;
}

/* Take a chunk from the pool; NULL when it is empty.
 *
 * head only grows and an entry is not overwritten before head has passed it (the
 * ring holds every chunk at most once), so a successful exchange owns what it read. */
static gt_chunk_t *chunk_take(const gt_arena_t *arena)
{
    gt_header_t *header = arena->header;
    /* Acquire, also when the exchange fails: a head must never be paired with an older tail,
     * or an empty ring would look as if it held something. */
    uint64_t head = atomic_load_explicit(&header->free_head, memory_order_acquire);
    uint32_t index;
    do {
        if (head == atomic_load_explicit(&header->free_tail, memory_order_acquire))
            return NULL;
        index = atomic_load_explicit(&arena->free[head % arena->n_chunks], memory_order_relaxed);
    } while (!atomic_compare_exchange_weak_explicit(&header->free_head, &head, head + 1,
                                                    memory_order_acq_rel, memory_order_acquire));
    gt_chunk_t *chunk = &arena->chunks[index];
    atomic_store_explicit(&chunk->count, 0, memory_order_relaxed);
    atomic_store_explicit(&chunk->next, 0, memory_order_relaxed);
    return chunk;
}

static void chunk_give_back(const gt_arena_t *arena, uint32_t index)
{
    gt_header_t *header = arena->header;
    uint64_t tail = atomic_load_explicit(&header->free_tail, memory_order_relaxed);
    atomic_store_explicit(&arena->free[tail % arena->n_chunks], index, memory_order_relaxed);
    atomic_store_explicit(&header->free_tail, tail + 1, memory_order_release);
}

/* Make room for at least two events (a LOST marker and the event itself). */
static bool next_chunk(const gt_arena_t *arena, gt_writer_t *writer)
{
    gt_chunk_t *fresh = chunk_take(arena);
    if (fresh == NULL)
        return false;
    uint32_t link = (uint32_t)(fresh - arena->chunks) + 1;
    _Atomic uint32_t *from = writer->chunk != NULL ? &writer->chunk->next : &writer->slot->first;
    atomic_store_explicit(from, link, memory_order_release);
    writer->chunk = fresh;
    writer->count = 0;
    return true;
}

static inline void publish(gt_writer_t *writer, uint64_t ts, uint64_t data)
{
    writer->chunk->events[writer->count] = (gt_event_t){ts, data};
    atomic_store_explicit(&writer->chunk->count, ++writer->count, memory_order_release);
}

bool gt_push(const gt_arena_t *arena, gt_writer_t *writer, uint64_t ts, uint64_t data)
{
    if (writer->chunk == NULL || writer->count == GT_CHUNK_EVENTS) {
        if (!next_chunk(arena, writer)) {
            writer->lost++;
            atomic_fetch_add_explicit(&writer->slot->lost, 1, memory_order_relaxed);
            return false;
        }
        if (writer->lost != 0) {
            publish(writer, ts, gt_event_data(GT_LOST, 0, 0, writer->lost));
            writer->lost = 0;
        }
    }
    publish(writer, ts, data);
    return true;
}

static gt_slot_t *slot_claim(const gt_arena_t *arena, uint32_t tid, uint64_t now_ns)
{
    gt_header_t *header = arena->header;
    for (uint32_t i = 0; i < arena->n_slots; i++) {
        gt_slot_t *slot = &arena->slots[i];
        uint32_t expected = GT_SLOT_FREE;
        if (atomic_load_explicit(&slot->state, memory_order_relaxed) != GT_SLOT_FREE ||
            !atomic_compare_exchange_strong_explicit(&slot->state, &expected, GT_SLOT_CLAIMED,
                                                     memory_order_acquire, memory_order_relaxed))
            continue;
        atomic_fetch_add_explicit(&slot->generation, 1, memory_order_relaxed);
        atomic_store_explicit(&slot->tid, tid, memory_order_relaxed);
        atomic_store_explicit(&slot->first, 0, memory_order_relaxed);
        atomic_store_explicit(&slot->lost, 0, memory_order_relaxed);
        atomic_store_explicit(&slot->name_seq, 0, memory_order_relaxed);
        atomic_store_explicit(&slot->name_len, 0, memory_order_relaxed);
        slot->start_ns = now_ns;
        atomic_store_explicit(&slot->read_chunk, 0, memory_order_relaxed);
        atomic_store_explicit(&slot->read_count, 0, memory_order_relaxed);
        uint32_t high = atomic_load(&header->slots_high);
        while (high < i + 1 && !atomic_compare_exchange_weak(&header->slots_high, &high, i + 1))
            ;
        return slot;
    }
    return NULL;
}

static gt_slot_t *slot_find(const gt_arena_t *arena, uint32_t tid, gt_slot_state_t state)
{
    uint32_t high = atomic_load(&arena->header->slots_high);
    high = high < arena->n_slots ? high : arena->n_slots;
    gt_slot_t *found = NULL; /* the latest: an ended thread's tid may be in use again */
    for (uint32_t i = 0; i < high; i++) {
        gt_slot_t *slot = &arena->slots[i];
        if (atomic_load_explicit(&slot->state, memory_order_acquire) == state &&
            atomic_load_explicit(&slot->tid, memory_order_relaxed) == tid &&
            (found == NULL || slot->start_ns > found->start_ns))
            found = slot;
    }
    return found;
}

bool gt_attach(const gt_arena_t *arena, gt_writer_t *writer, uint32_t tid, uint64_t now_ns)
{
    gt_header_t *header = arena->header;
    gt_slot_t *slot = NULL;
    if (atomic_load_explicit(&header->slots_reserved, memory_order_acquire) != 0) {
        slot = slot_find(arena, tid, GT_SLOT_RESERVED);
        if (slot != NULL)
            atomic_fetch_sub(&header->slots_reserved, 1);
    }
    if (slot == NULL) {
        uint32_t freed = atomic_load_explicit(&header->slots_freed, memory_order_acquire);
        if (writer->retry_freed == freed + 1)
            return false;
        slot = slot_claim(arena, tid, now_ns);
        if (slot == NULL) {
            writer->retry_freed = freed + 1;
            return false;
        }
    }
    *writer = (gt_writer_t){.slot = slot};
    atomic_store_explicit(&slot->state, GT_SLOT_ACTIVE, memory_order_release);
    return true;
}

void gt_slot_set_name(gt_slot_t *slot, const char *name, size_t length)
{
    uint32_t seq = atomic_load_explicit(&slot->name_seq, memory_order_relaxed);
    if (length > GT_NAME_BYTES)
        length = GT_NAME_BYTES;
    atomic_store_explicit(&slot->name_seq, seq + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    for (size_t at = 0; at < length; at += sizeof(uint64_t)) {
        uint64_t word = 0;
        memcpy(&word, name + at, length - at < sizeof word ? length - at : sizeof word);
        atomic_store_explicit(&slot->name[at / sizeof word], word, memory_order_relaxed);
    }
    atomic_store_explicit(&slot->name_len, (uint32_t)length, memory_order_relaxed);
    atomic_store_explicit(&slot->name_seq, seq + 2, memory_order_release);
}

bool gt_slot_get_name(const gt_slot_t *slot, char *out, uint32_t *length)
{
    uint32_t seq = atomic_load_explicit(&slot->name_seq, memory_order_acquire);
    uint32_t n = atomic_load_explicit(&slot->name_len, memory_order_relaxed);
    if (seq % 2 != 0 || n > GT_NAME_BYTES)
        return false;
    for (size_t at = 0; at < n; at += sizeof(uint64_t)) {
        uint64_t word = atomic_load_explicit(&slot->name[at / sizeof word], memory_order_relaxed);
        memcpy(out + at, &word, sizeof word);
    }
    *length = n;
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&slot->name_seq, memory_order_relaxed) == seq;
}

gt_slot_t *gt_slot_for_tid(const gt_arena_t *arena, uint32_t tid, uint64_t now_ns)
{
    gt_slot_t *slot = slot_find(arena, tid, GT_SLOT_ACTIVE);
    if (slot == NULL)
        slot = slot_find(arena, tid, GT_SLOT_RESERVED);
    if (slot == NULL && (slot = slot_claim(arena, tid, now_ns)) != NULL) {
        atomic_store_explicit(&slot->state, GT_SLOT_RESERVED, memory_order_release);
        atomic_fetch_add_explicit(&arena->header->slots_reserved, 1, memory_order_release);
    }
    return slot;
}

gt_code_record_t *gt_code_claim(const gt_arena_t *arena, uint32_t size)
{
    gt_header_t *header = arena->header;
    uint64_t used = atomic_load_explicit(&header->codes_used, memory_order_relaxed);
    do {
        if (used + size > arena->codes_bytes)
            return NULL;
    } while (!atomic_compare_exchange_weak(&header->codes_used, &used, used + size));
    return (gt_code_record_t *)(arena->codes + used);
}

char *gt_code_head(gt_code_record_t *record, const gt_code_record_t *head)
{
    size_t size = sizeof head->size;
    memcpy((char *)record + size, (const char *)head + size, sizeof *head - size);
    return (char *)(record + 1);
}

bool gt_wish_next(const gt_arena_t *arena, gt_wish_t *wish)
{
    gt_header_t *header = arena->header;
    uint32_t made = atomic_load_explicit(&header->wishes, memory_order_acquire);
    uint32_t seen = atomic_load_explicit(&header->wishes_seen, memory_order_relaxed);
    if (made - seen > GT_WISHES) /* scribbled over */
        seen = made;
    bool found = made != seen;
    if (found)
        *wish = header->wish[seen++ % GT_WISHES];
    atomic_store_explicit(&header->wishes_seen, seen, memory_order_release);
    return found;
}

bool gt_wish(const gt_arena_t *arena, const gt_wish_t *wish)
{
    gt_header_t *header = arena->header;
    uint32_t made = atomic_load_explicit(&header->wishes, memory_order_relaxed);
    if (made - atomic_load_explicit(&header->wishes_seen, memory_order_acquire) >= GT_WISHES)
        return false;
    header->wish[made % GT_WISHES] = *wish;
    atomic_store_explicit(&header->wishes, made + 1, memory_order_release);
    return true;
}

/* Whatever stands in shared memory is read once, checked, and used: the target may scribble over it
 * in between. */
size_t gt_drain(const gt_arena_t *arena, uint32_t index, gt_event_t *out, size_t room)
{
    gt_slot_t *slot = &arena->slots[index];
    uint32_t at = atomic_load_explicit(&slot->read_chunk, memory_order_relaxed);
    uint32_t done = atomic_load_explicit(&slot->read_count, memory_order_relaxed);
    size_t taken = 0;
    if (at == 0)
        at = atomic_load_explicit(&slot->first, memory_order_acquire);
    while (at != 0 && at <= arena->n_chunks && taken < room) {
        gt_chunk_t *chunk = &arena->chunks[at - 1];
        uint32_t count = atomic_load_explicit(&chunk->count, memory_order_acquire);
        if (count > GT_CHUNK_EVENTS || done > count)
            break; /* scribbled over: nothing here can be trusted any more */
        size_t n = count - done;
        if (n > room - taken)
            n = room - taken;
        memcpy(out + taken, chunk->events + done, n * sizeof *out);
        taken += n;
        done += (uint32_t)n;
        uint32_t next = atomic_load_explicit(&chunk->next, memory_order_acquire);
        if (done < GT_CHUNK_EVENTS || next == 0)
            break;
        chunk_give_back(arena, at - 1);
        at = next;
        done = 0;
    }
    atomic_store_explicit(&slot->read_chunk, at, memory_order_relaxed);
    atomic_store_explicit(&slot->read_count, done, memory_order_relaxed);
    return taken;
}

bool gt_slot_free(const gt_arena_t *arena, uint32_t index)
{
    gt_slot_t *slot = &arena->slots[index];
    uint32_t state = atomic_load_explicit(&slot->state, memory_order_acquire);
    if (state != GT_SLOT_ACTIVE && state != GT_SLOT_RESERVED)
        return false;
    uint32_t at = atomic_load_explicit(&slot->read_chunk, memory_order_relaxed);
    if (at == 0)
        at = atomic_load_explicit(&slot->first, memory_order_acquire);
    if (at != 0 && at <= arena->n_chunks) {
        gt_chunk_t *chunk = &arena->chunks[at - 1];
        uint32_t done = atomic_load_explicit(&slot->read_count, memory_order_relaxed);
        if (done < atomic_load_explicit(&chunk->count, memory_order_acquire) ||
            atomic_load_explicit(&chunk->next, memory_order_acquire) != 0)
            return false;
        chunk_give_back(arena, at - 1);
    }
    state = atomic_exchange_explicit(&slot->state, GT_SLOT_FREE, memory_order_acq_rel);
    if (state == GT_SLOT_RESERVED)
        atomic_fetch_sub(&arena->header->slots_reserved, 1);
    atomic_fetch_add_explicit(&arena->header->slots_freed, 1, memory_order_release);
    return true;
}
