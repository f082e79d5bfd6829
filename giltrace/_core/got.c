#define _GNU_SOURCE
#include "got.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__)
#define R_PLT R_X86_64_JUMP_SLOT
#define R_GOT R_X86_64_GLOB_DAT
#define CONDVAR_VERSION "GLIBC_2.3.2" /* older condvars of the same name have another layout */
#elif defined(__aarch64__)
#define R_PLT R_AARCH64_JUMP_SLOT
#define R_GOT R_AARCH64_GLOB_DAT
#define CONDVAR_VERSION "GLIBC_2.17"
#else
#error "giltrace's tap knows x86-64 and aarch64"
#endif

typedef struct {
    uintptr_t address;
    gt_image_t *image;
} search_t;

/* Compare segments, not dladdr's base: a non-PIE executable is loaded with bias 0. */
static int visit(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    search_t *search = data;
    gt_image_t *image = search->image;
    *image = (gt_image_t){.base = info->dlpi_addr, .low = UINTPTR_MAX};
    bool inside = false;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        uintptr_t low = info->dlpi_addr + ph->p_vaddr, high = low + ph->p_memsz;
        if (ph->p_type == PT_LOAD) {
            inside |= search->address >= low && search->address < high;
            image->low = low < image->low ? low : image->low;
            image->high = high > image->high ? high : image->high;
        } else if (ph->p_type == PT_GNU_RELRO) {
            image->relro_low = low;
            image->relro_high = high;
        } else if (ph->p_type == PT_DYNAMIC) {
            image->dynamic = (const void *)low;
        }
    }
    if (!inside || image->dynamic == NULL)
        return 0;
    strncpy(image->name, info->dlpi_name, sizeof image->name - 1);
    return 1;
}

bool gt_image_find(gt_image_t *image, const void *address)
{
    search_t search = {(uintptr_t)address, image};
    return dl_iterate_phdr(visit, &search) == 1;
}

typedef struct {
    uintptr_t low, high;
    bool writable;
} range_t;

static int visit_data(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    range_t *range = data;
    bool inside = false, sealed = false;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        uintptr_t low = info->dlpi_addr + ph->p_vaddr, high = low + ph->p_memsz;
        if (ph->p_type == PT_LOAD && (ph->p_flags & PF_W))
            inside |= range->low >= low && range->high <= high;
        else if (ph->p_type == PT_GNU_RELRO)
            sealed |= range->low < high && range->high > low;
    }
    range->writable = inside && !sealed;
    return inside;
}

bool gt_is_image_data(const void *address, size_t bytes)
{
    range_t range = {(uintptr_t)address, (uintptr_t)address + bytes, false};
    dl_iterate_phdr(visit_data, &range);
    return range.writable;
}

/* glibc relocates most d_ptr values in place, but not in every image (the vDSO). */
static const void *dyn_pointer(const gt_image_t *image, ElfW(Addr) value)
{
    return (const void *)(value < image->low ? image->base + value : value);
}

static void scan(gt_patch_t *patch, const gt_image_t *image, const ElfW(Rela) *table, size_t bytes,
                 const ElfW(Sym) *symbols, const char *strings)
{
    for (size_t i = 0; i < bytes / sizeof *table; i++) {
        unsigned type = (unsigned)ELF64_R_TYPE(table[i].r_info);
        const ElfW(Sym) *symbol = &symbols[ELF64_R_SYM(table[i].r_info)];
        if ((type != R_PLT && type != R_GOT) || patch->n_slots == GT_GOT_MAX_SLOTS ||
            strcmp(strings + symbol->st_name, patch->symbol) != 0)
            continue;
        patch->slots[patch->n_slots++] = (void **)(image->base + table[i].r_offset);
    }
}

bool gt_patch_prepare(gt_patch_t *patch, const gt_image_t *image)
{
    const ElfW(Rela) *plt = NULL, *rela = NULL;
    const ElfW(Sym) *symbols = NULL;
    const char *strings = NULL;
    size_t plt_bytes = 0, rela_bytes = 0;
    for (const ElfW(Dyn) *d = image->dynamic; d->d_tag != DT_NULL; d++) {
        switch (d->d_tag) {
        case DT_JMPREL: plt = dyn_pointer(image, d->d_un.d_ptr); break;
        case DT_PLTRELSZ: plt_bytes = d->d_un.d_val; break;
        case DT_RELA: rela = dyn_pointer(image, d->d_un.d_ptr); break;
        case DT_RELASZ: rela_bytes = d->d_un.d_val; break;
        case DT_SYMTAB: symbols = dyn_pointer(image, d->d_un.d_ptr); break;
        case DT_STRTAB: strings = dyn_pointer(image, d->d_un.d_ptr); break;
        default: break;
        }
    }
    patch->n_slots = 0;
    if (symbols == NULL || strings == NULL)
        return false;
    if (plt != NULL)
        scan(patch, image, plt, plt_bytes, symbols, strings);
    if (rela != NULL)
        scan(patch, image, rela, rela_bytes, symbols, strings);
    if (patch->n_slots == 0)
        return false;
    /* A slot not yet bound points back into the image (its PLT); one that is bound may
     * point at another tool's interposer, which must keep its place in the chain. */
    void *bound = NULL;
    for (size_t i = 0; i < patch->n_slots; i++) {
        uintptr_t now = (uintptr_t)*patch->slots[i];
        if ((void *)now == patch->hook)
            return patch->real != NULL; /* in place already, as in a child forked meanwhile */
        if (now < image->low || now >= image->high)
            bound = (void *)now;
    }
    if (bound == NULL)
        bound = dlvsym(RTLD_DEFAULT, patch->symbol, CONDVAR_VERSION);
    if (bound == NULL)
        bound = dlsym(RTLD_DEFAULT, patch->symbol);
    if (bound == NULL)
        return false;
    patch->real = bound;
    return true;
}

static bool slot_write(const gt_image_t *image, void **slot, void *value)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t start = (uintptr_t)slot & ~(page - 1);
    bool relro = (uintptr_t)slot >= (image->relro_low & ~(page - 1)) &&
                 (uintptr_t)slot < (image->relro_high & ~(page - 1));
    if (relro && mprotect((void *)start, page, PROT_READ | PROT_WRITE) != 0)
        return false;
    atomic_store((_Atomic(void *) *)slot, value);
    if (relro)
        (void)mprotect((void *)start, page, PROT_READ);
    return true;
}

bool gt_patch_apply(gt_patch_t *patch, const gt_image_t *image)
{
    for (size_t i = 0; i < patch->n_slots; i++) {
        void *before = *patch->slots[i];
        if (before == patch->hook)
            continue;
        patch->saved[i] = before;
        if (slot_write(image, patch->slots[i], patch->hook))
            continue;
        patch->n_slots = i;
        gt_patch_undo(patch, image);
        return false;
    }
    return true;
}

bool gt_patch_undo(gt_patch_t *patch, const gt_image_t *image)
{
    bool ok = true;
    for (size_t i = 0; i < patch->n_slots; i++)
        if (*patch->slots[i] == patch->hook)
            ok &= slot_write(image, patch->slots[i], patch->saved[i]);
    return ok;
}

bool gt_patch_in_place(const gt_patch_t *patch)
{
    for (size_t i = 0; i < patch->n_slots; i++)
        if (*patch->slots[i] != patch->hook)
            return false;
    return patch->n_slots != 0;
}
