/* A Cortex-M without an operating system: vectors, memory, and files through semihosting.
 *
 * It reads images.bin and writes outputs.bin. figures.bin then holds the greatest stack in bytes, and
 * the ticks of the processor's clock for all images. */
#include <stdint.h>

#include "digit.h"

extern uint32_t stack_top[], stack_end[], data_start[], data_end[], data_flash[], bss_start[],
    bss_end[];
void reset(void);

#define PAINT 0xa5a5a5a5u

__attribute__((section(".vectors"), used)) static const void *const vectors[] = {
    stack_top, (const void *)reset, (const void *)reset, (const void *)reset,
};

/* SysTick: control, reload, the counter, which counts down. */
#define CLOCK ((volatile uint32_t *)0xe000e010)

enum { OPEN = 1, WRITE = 5, READ = 6, EXIT = 24 };

static int32_t semihosting(uint32_t operation, const void *arguments)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = arguments;

    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return (int32_t)r0;
}

static uint32_t opened(const char *name, uint32_t mode, uint32_t length)
{
    const uint32_t arguments[] = {(uint32_t)(uintptr_t)name, mode, length};
    return (uint32_t)semihosting(OPEN, arguments);
}

/* Return the number of bytes that were not moved. */
static int32_t moved(uint32_t operation, uint32_t file, const void *bytes, uint32_t count)
{
    const uint32_t arguments[] = {file, (uint32_t)(uintptr_t)bytes, count};
    return semihosting(operation, arguments);
}

__attribute__((noinline)) static void classify(const uint8_t *image, uint8_t *output)
{
    digit_probabilities(image, output);
}

/* Return the words below the stack pointer that were written. */
static uint32_t painted_words(void)
{
    uint32_t *word = stack_end;

    while (*word == PAINT) {
        word++;
    }
    return (uint32_t)((uint32_t *)__builtin_frame_address(0) - word);
}

static void run(void)
{
    static uint8_t image[DIGIT_INPUT_SIZE], output[DIGIT_CLASSES];
    const uint32_t images = opened("images.bin", 1, 10), outputs = opened("outputs.bin", 5, 11),
                   figures = opened("figures.bin", 5, 11);
    uint32_t *word;
    uint32_t numbers[2] = {0, 0};

    for (word = stack_end; word < (uint32_t *)__builtin_frame_address(0) - 32; word++) {
        *word = PAINT;
    }
    CLOCK[1] = 0xffffffu;
    CLOCK[2] = 0;
    CLOCK[0] = 5;
    while (moved(READ, images, image, sizeof image) == 0) {
        const uint32_t start = CLOCK[2];
        classify(image, output);
        numbers[1] += (start - CLOCK[2]) & 0xffffffu;
        moved(WRITE, outputs, output, sizeof output);
    }
    numbers[0] = 4 * painted_words();
    moved(WRITE, figures, numbers, sizeof numbers);
    semihosting(EXIT, (const void *)0x20026);
}

__attribute__((noreturn)) void reset(void)
{
    uint32_t *to, *from = data_flash;

    for (to = data_start; to < data_end; to++) {
        *to = *from++;
    }
    for (to = bss_start; to < bss_end; to++) {
        *to = 0;
    }
#if defined(__ARM_FP)
    *(volatile uint32_t *)0xe000ed88 |= 0xfu << 20; /* the floating-point unit */
#endif
    run();
    for (;;) {
    }
}
