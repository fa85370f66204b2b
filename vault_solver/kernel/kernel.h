/* What the library offers to Python, and the one structure that its parts share. docs/kernel.md explains all of it. */

#ifndef VAULT_KERNEL_H
#define VAULT_KERNEL_H

#include <stddef.h>
#include <stdint.h>

/* Counts every change of what stands in this file: a library of another version is not used. */
#define VAULT_KERNEL_VERSION 1

#define BITS_MIN 512
#define BITS_MAX 4096
#define NUMBER_BYTES_MAX (BITS_MAX / 8)
#define EXPONENT_BYTES_MAX 1024

#define LIMB_BITS 52
#define LIMB_MASK ((UINT64_C(1) << LIMB_BITS) - 1)
#define LANES 8
#define VECTORS_MIN 2
#define VECTORS_MAX 10
#define LIMBS_MAX (LANES * VECTORS_MAX)

/* R is 2^(52 * limbs) and at least 16 N: then almost reduced values, below 3 N, stay so. */
#define SLACK_BITS 4

/* Squarings between two looks at the cancel flag: a millisecond at most. */
#define SQUARINGS_PER_LOOK 1024

enum vault_kernel_status {
    VAULT_KERNEL_OK = 0,
    VAULT_KERNEL_CANCELLED = 1,
    VAULT_KERNEL_NO_PROCESSOR = 2,  /* this processor lacks the instructions */
    VAULT_KERNEL_BAD_MEMORY = 3,    /* the memory for a modulus has another size, or is not prepared */
    VAULT_KERNEL_BAD_MODULUS = 4,   /* even, or not of BITS_MIN to BITS_MAX bits, or with leading zero bytes */
    VAULT_KERNEL_BAD_VALUE = 5,     /* of another length than the modulus, or not below it */
    VAULT_KERNEL_BAD_EXPONENT = 6,  /* longer than EXPONENT_BYTES_MAX */
};

/* A modulus N and what is derived from it.
 *
 * Vectors are stored strided: limb i, of the numbers' 52-bit limbs counted from the lowest, stands at vector i mod V,
 * lane i div V. Then one limb up is one vector further, in the same lane, and shifting costs nothing.
 */
struct vault_modulus {
    uint32_t prepared; /* VAULT_KERNEL_VERSION when it is */
    uint32_t bytes;    /* of N, without leading zeros: the length of every value */
    uint32_t limbs;
    uint32_t vectors;
    uint64_t inverse;                /* -1/N mod 2^52 */
    uint64_t plain[LIMBS_MAX];       /* N, its limbs in their order */
    uint64_t modulus[LIMBS_MAX];     /* N, strided */
    uint64_t folded[LIMBS_MAX];      /* (inverse * N + 1) / 2^52, strided: never above N */
    uint64_t r_squared[LIMBS_MAX];   /* R^2 mod N, strided */
};

#if defined(__GNUC__) || defined(__clang__)
#define EXPORT __attribute__((visibility("default")))
#else
#define EXPORT
#endif

/* All numbers are little-endian bytes, at exactly the length of N, at any address; every function that returns an int
 * returns a vault_kernel_status. None of them allocates, or keeps anything. */
EXPORT int vault_kernel_version(void);
EXPORT int vault_kernel_supported(void); /* 1 where the processor and its system offer AVX-512 IFMA */
EXPORT size_t vault_kernel_modulus_bytes(void);
EXPORT int vault_kernel_prepare(void *modulus, size_t modulus_bytes, const uint8_t *n, size_t n_bytes);
EXPORT int vault_kernel_square(const void *modulus, size_t modulus_bytes, uint8_t *value, size_t value_bytes,
                        uint64_t squarings, const uint8_t *cancel);
EXPORT int vault_kernel_multiply(const void *modulus, size_t modulus_bytes, uint8_t *value, const uint8_t *factor,
                          size_t value_bytes);
EXPORT int vault_kernel_power(const void *modulus, size_t modulus_bytes, uint8_t *value, size_t value_bytes,
                       const uint8_t *exponent, size_t exponent_bytes);

/* ifma.c: strided values below 3 N with R in them, the result in place of the first. */
int ifma_supported(void);
void ifma_square(const struct vault_modulus *modulus, uint64_t *value, uint64_t squarings);
void ifma_multiply(const struct vault_modulus *modulus, uint64_t *value, const uint64_t *factor);
int ifma_carry(uint64_t *limbs, unsigned vectors); /* for tests: how many passes it took */
#ifdef VAULT_KERNEL_TESTED
extern int ifma_passes_max;
#endif

#endif
