/* The library's entry points: checks of every length and range, bytes to limbs and back, constants of a modulus.
 *
 * Nothing here is quick or has to be: it runs once for a call of many squarings.
 */

#include "kernel.h"

#include <string.h>

#define POWER_BITS 4 /* of the exponent at once; eight bits of it are two of these */
#define POWERS (1 << POWER_BITS)

int vault_kernel_version(void) { return VAULT_KERNEL_VERSION; }

int vault_kernel_supported(void) { return ifma_supported(); }

size_t vault_kernel_modulus_bytes(void) { return sizeof(struct vault_modulus); }

static void limbs_from_bytes(uint64_t *limbs, const uint8_t *bytes, size_t count) {
    uint64_t held = 0;
    unsigned bits = 0, limb = 0;
    memset(limbs, 0, LIMBS_MAX * sizeof *limbs);
    for (size_t i = 0; i < count; i++) {
        held |= (uint64_t)bytes[i] << bits;
        bits += 8;
        if (bits >= LIMB_BITS) {
            limbs[limb++] = held & LIMB_MASK;
            held >>= LIMB_BITS;
            bits -= LIMB_BITS;
        }
    }
    if (bits > 0) limbs[limb] = held;
}

static void bytes_from_limbs(uint8_t *bytes, const uint64_t *limbs, size_t count) {
    uint64_t held = 0;
    unsigned bits = 0, limb = 0;
    for (size_t i = 0; i < count; i++) {
        if (bits < 8) {
            held |= limbs[limb++] << bits;
            bits += LIMB_BITS;
        }
        bytes[i] = (uint8_t)held;
        held >>= 8;
        bits -= 8;
    }
}

static void stride(const struct vault_modulus *modulus, uint64_t *strided, const uint64_t *plain) {
    const unsigned vectors = modulus->vectors;
    for (unsigned i = 0; i < LANES * vectors; i++) strided[LANES * (i % vectors) + i / vectors] = plain[i];
}

static void unstride(const struct vault_modulus *modulus, uint64_t *plain, const uint64_t *strided) {
    const unsigned vectors = modulus->vectors;
    memset(plain, 0, LIMBS_MAX * sizeof *plain);
    for (unsigned i = 0; i < LANES * vectors; i++) plain[i] = strided[LANES * (i % vectors) + i / vectors];
}

/* a - N if that is not negative, else a, which is below 3 N; returns whether it was subtracted. */
static int subtract_modulus(const struct vault_modulus *modulus, uint64_t *a) {
    uint64_t difference[LIMBS_MAX], borrow = 0;
    for (unsigned i = 0; i < modulus->limbs; i++) {
        const uint64_t limb = a[i] - modulus->plain[i] - borrow;
        borrow = limb >> 63;
        difference[i] = limb & LIMB_MASK;
    }
    if (!borrow) memcpy(a, difference, modulus->limbs * sizeof *a);
    return !borrow;
}

/* -1/N mod 2^52. n * n is 1 mod 8, so n is its own inverse to three bits; each step doubles them. */
static uint64_t negative_inverse(uint64_t n) {
    uint64_t inverse = n;
    for (int bits = 3; bits < LIMB_BITS; bits *= 2) inverse *= 2 - n * inverse;
    return (0 - inverse) & LIMB_MASK;
}

/* (inverse * N + 1) / 2^52, which leaves no remainder. */
static void fold(struct vault_modulus *modulus, uint64_t *folded) {
    __extension__ unsigned __int128 carry = 1;
    memset(folded, 0, LIMBS_MAX * sizeof *folded);
    for (unsigned i = 0; i <= modulus->limbs; i++) {
        carry += (__extension__(unsigned __int128)modulus->inverse) * (i < modulus->limbs ? modulus->plain[i] : 0);
        if (i > 0) folded[i - 1] = (uint64_t)carry & LIMB_MASK;
        carry >>= LIMB_BITS;
    }
}

static void double_modulo(const struct vault_modulus *modulus, uint64_t *a) {
    uint64_t carry = 0;
    for (unsigned i = 0; i < modulus->limbs; i++) {
        const uint64_t limb = 2 * a[i] + carry;
        a[i] = limb & LIMB_MASK;
        carry = limb >> LIMB_BITS;
    }
    subtract_modulus(modulus, a);
}

static void derive(struct vault_modulus *modulus) {
    uint64_t plain[LIMBS_MAX];
    modulus->inverse = negative_inverse(modulus->plain[0]);
    stride(modulus, modulus->modulus, modulus->plain);
    fold(modulus, plain);
    stride(modulus, modulus->folded, plain);
    memset(plain, 0, sizeof plain);
    plain[0] = 1;
    for (unsigned i = 0; i < 2 * LIMB_BITS * modulus->limbs; i++) double_modulo(modulus, plain);
    stride(modulus, modulus->r_squared, plain);
}

static unsigned bits_of(uint8_t byte) {
    unsigned bits = 0;
    for (; byte; byte >>= 1) bits++;
    return bits;
}

int vault_kernel_prepare(void *memory, size_t memory_bytes, const uint8_t *n, size_t n_bytes) {
    struct vault_modulus modulus;
    memset(&modulus, 0, sizeof modulus);
    if (memory_bytes != sizeof modulus) return VAULT_KERNEL_BAD_MEMORY;
    if (n_bytes == 0 || n_bytes > NUMBER_BYTES_MAX) return VAULT_KERNEL_BAD_MODULUS;
    const unsigned bits = 8 * ((unsigned)n_bytes - 1) + bits_of(n[n_bytes - 1]);
    if (n[n_bytes - 1] == 0 || n[0] % 2 == 0 || bits < BITS_MIN) return VAULT_KERNEL_BAD_MODULUS;
    modulus.prepared = VAULT_KERNEL_VERSION;
    modulus.bytes = (uint32_t)n_bytes;
    modulus.limbs = (bits + SLACK_BITS + LIMB_BITS - 1) / LIMB_BITS;
    modulus.vectors = (modulus.limbs + LANES - 1) / LANES;
    limbs_from_bytes(modulus.plain, n, n_bytes);
    derive(&modulus);
    memcpy(memory, &modulus, sizeof modulus); /* at whatever address it lies */
    return VAULT_KERNEL_OK;
}

static int read_modulus(struct vault_modulus *modulus, const void *memory, size_t memory_bytes) {
    if (memory_bytes != sizeof *modulus) return VAULT_KERNEL_BAD_MEMORY;
    memcpy(modulus, memory, sizeof *modulus);
    /* Whatever the caller has done to that memory, nothing outside it is read or written. */
    if (modulus->prepared != VAULT_KERNEL_VERSION || modulus->bytes > NUMBER_BYTES_MAX) return VAULT_KERNEL_BAD_MEMORY;
    if (modulus->vectors < VECTORS_MIN || modulus->vectors > VECTORS_MAX) return VAULT_KERNEL_BAD_MEMORY;
    if (modulus->limbs == 0 || modulus->limbs > LANES * modulus->vectors) return VAULT_KERNEL_BAD_MEMORY;
    if (!ifma_supported()) return VAULT_KERNEL_NO_PROCESSOR;
    return VAULT_KERNEL_OK;
}

/* A number below N, multiplied with R and strided. The bytes of N never hold more than its limbs do:
 * 52 limbs >= bits + 4, both sides are multiples of 4, and 8 bytes <= bits + 7. */
static int enter(const struct vault_modulus *modulus, uint64_t *strided, const uint8_t *bytes, size_t count) {
    uint64_t plain[LIMBS_MAX];
    if (count != modulus->bytes) return VAULT_KERNEL_BAD_VALUE;
    limbs_from_bytes(plain, bytes, count);
    if (subtract_modulus(modulus, plain)) return VAULT_KERNEL_BAD_VALUE;
    stride(modulus, strided, plain);
    ifma_multiply(modulus, strided, modulus->r_squared);
    return VAULT_KERNEL_OK;
}

/* And back, divided by R and below N. */
static void leave(const struct vault_modulus *modulus, uint8_t *bytes, uint64_t *strided) {
    uint64_t plain[LIMBS_MAX];
    const uint64_t one[LIMBS_MAX] = {1};
    ifma_multiply(modulus, strided, one);
    unstride(modulus, plain, strided);
    while (subtract_modulus(modulus, plain)) {
    }
    bytes_from_limbs(bytes, plain, modulus->bytes);
}

int vault_kernel_square(const void *memory, size_t memory_bytes, uint8_t *value, size_t value_bytes,
                        uint64_t squarings, const uint8_t *cancel) {
    struct vault_modulus modulus;
    uint64_t strided[LIMBS_MAX];
    int status = read_modulus(&modulus, memory, memory_bytes);
    if (status == VAULT_KERNEL_OK) status = enter(&modulus, strided, value, value_bytes);
    while (status == VAULT_KERNEL_OK && squarings > 0) {
        const uint64_t count = squarings < SQUARINGS_PER_LOOK ? squarings : SQUARINGS_PER_LOOK;
        if (cancel && __atomic_load_n(cancel, __ATOMIC_RELAXED)) return VAULT_KERNEL_CANCELLED;
        ifma_square(&modulus, strided, count);
        squarings -= count;
    }
    if (status == VAULT_KERNEL_OK) leave(&modulus, value, strided);
    return status;
}

int vault_kernel_multiply(const void *memory, size_t memory_bytes, uint8_t *value, const uint8_t *factor,
                          size_t value_bytes) {
    struct vault_modulus modulus;
    uint64_t strided[LIMBS_MAX], other[LIMBS_MAX];
    int status = read_modulus(&modulus, memory, memory_bytes);
    if (status == VAULT_KERNEL_OK) status = enter(&modulus, strided, value, value_bytes);
    if (status == VAULT_KERNEL_OK) status = enter(&modulus, other, factor, value_bytes);
    if (status != VAULT_KERNEL_OK) return status;
    ifma_multiply(&modulus, strided, other);
    leave(&modulus, value, strided);
    return status;
}

/* strided to the power of the exponent: from its highest four bits on, always four squarings and a product. */
static void raise_power(const struct vault_modulus *modulus, uint64_t *strided, const uint8_t *exponent, size_t count) {
    uint64_t powers[POWERS][LIMBS_MAX], one[LIMBS_MAX] = {1};
    ifma_multiply(modulus, one, modulus->r_squared);
    memcpy(powers[0], one, sizeof one);
    for (int i = 1; i < POWERS; i++) {
        memcpy(powers[i], powers[i - 1], sizeof powers[i]);
        ifma_multiply(modulus, powers[i], strided);
    }
    memcpy(strided, one, sizeof one);
    for (size_t i = 2 * count; i-- > 0;) {
        ifma_square(modulus, strided, POWER_BITS);
        ifma_multiply(modulus, strided, powers[(exponent[i / 2] >> (POWER_BITS * (i % 2))) % POWERS]);
    }
}

int vault_kernel_power(const void *memory, size_t memory_bytes, uint8_t *value, size_t value_bytes,
                       const uint8_t *exponent, size_t exponent_bytes) {
    struct vault_modulus modulus;
    uint64_t strided[LIMBS_MAX];
    int status = read_modulus(&modulus, memory, memory_bytes);
    if (status == VAULT_KERNEL_OK && exponent_bytes > EXPONENT_BYTES_MAX) status = VAULT_KERNEL_BAD_EXPONENT;
    if (status == VAULT_KERNEL_OK) status = enter(&modulus, strided, value, value_bytes);
    if (status != VAULT_KERNEL_OK) return status;
    raise_power(&modulus, strided, exponent, exponent_bytes);
    leave(&modulus, value, strided);
    return status;
}
