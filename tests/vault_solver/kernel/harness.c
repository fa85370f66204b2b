/* The kernel without Python, for runs under sanitizers: reads one call a line, answers with its status and result.
 *
 * Every number lies in memory of exactly its length, at an odd address, so that whatever is read or written beyond it
 * is found. Numbers are hex, lowest byte first; "-" is none.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel.h"

struct number {
    uint8_t *memory, *bytes;
    size_t count;
};

static struct number allocate(size_t count) {
    struct number number = {malloc(count + 1), NULL, count};
    if (!number.memory) abort();
    number.bytes = number.memory + 1;
    return number;
}

static struct number read_number(const char *hex) {
    struct number number = allocate(strcmp(hex, "-") == 0 ? 0 : strlen(hex) / 2);
    for (size_t i = 0; i < number.count; i++) {
        unsigned byte;
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1) abort();
        number.bytes[i] = (uint8_t)byte;
    }
    return number;
}

static void answer(int status, const struct number *number) {
    printf("%d ", status);
    for (size_t i = 0; i < number->count; i++) printf("%02x", number->bytes[i]);
    putchar('\n');
}

static void carry(const char *vectors, char *limbs) {
    uint64_t strided[LIMBS_MAX] = {0};
    const unsigned count = (unsigned)atoi(vectors);
    unsigned i = 0;
    for (char *limb = strtok(limbs, ","); limb; limb = strtok(NULL, ",")) {
        if (i >= LANES * count) abort();
        strided[LANES * (i % count) + i / count] = strtoull(limb, NULL, 16);
        i++;
    }
    printf("%d ", ifma_carry(strided, count));
    for (i = 0; i < LANES * count; i++) printf("%" PRIx64 ",", strided[LANES * (i % count) + i / count]);
    putchar('\n');
}

static char line[1 << 16], name[32], first[1 << 14], second[1 << 14];

int main(void) {
    struct number modulus = allocate(vault_kernel_modulus_bytes());
    memset(modulus.bytes, 0, modulus.count);
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "%31s %16383s %16383s", name, first, second) != 3) abort();
        if (strcmp(name, "carry") == 0) {
            carry(first, second);
            continue;
        }
        struct number a = read_number(first), b = read_number(second);
        const uint64_t squarings = strtoull(second, NULL, 16);
        const uint8_t set = 1;
        if (strcmp(name, "prepare") == 0)
            answer(vault_kernel_prepare(modulus.bytes, modulus.count, a.bytes, a.count), &b);
        else if (strcmp(name, "square") == 0) /* the second is the number of squarings */
            answer(vault_kernel_square(modulus.bytes, modulus.count, a.bytes, a.count, squarings, NULL), &a);
        else if (strcmp(name, "cancelled") == 0)
            answer(vault_kernel_square(modulus.bytes, modulus.count, a.bytes, a.count, squarings, &set), &a);
        else if (strcmp(name, "multiply") == 0) /* of one length: the library is given only one */
            answer(vault_kernel_multiply(modulus.bytes, modulus.count, a.bytes, b.bytes, a.count), &a);
        else if (strcmp(name, "power") == 0)
            answer(vault_kernel_power(modulus.bytes, modulus.count, a.bytes, a.count, b.bytes, b.count), &a);
        else if (strcmp(name, "short") == 0) /* another size of memory, and a modulus that was never prepared */
            printf("%d %d\n", vault_kernel_prepare(modulus.bytes, modulus.count - 1, a.bytes, a.count),
                   vault_kernel_square(modulus.bytes, modulus.count - 1, a.bytes, a.count, 1, NULL));
        else if (strcmp(name, "supported") == 0)
            printf("%d\n", vault_kernel_supported());
        else if (strcmp(name, "passes") == 0)
            printf("%d\n", ifma_passes_max), ifma_passes_max = 0;
        else
            abort();
        free(a.memory), free(b.memory);
    }
    free(modulus.memory);
    return 0;
}
