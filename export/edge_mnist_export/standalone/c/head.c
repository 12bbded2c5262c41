/* @TITLE@
 *
 * @SUMMARY@
 * Every value is an unsigned byte; an int8 value q is held as q + 128. The same bytes come out on
 * every processor and with every compiler option. */
#include "digit.h"

#include <string.h>

#if defined(__ARM_FEATURE_SIMD32)
#include <arm_acle.h>
#endif

#ifndef DIGIT_STORAGE
#define DIGIT_STORAGE static
#endif

/* The sizes of large images do not fit an int of 16 bits. */
typedef char digit_needs_an_int_of_32_bits[sizeof(int) >= 4 ? 1 : -1];
