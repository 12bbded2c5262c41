/* @TITLE@
 *
 * An image is @INPUT@ bytes: @IMAGE@,
 * one row after the other, 0 to 255@INK@.
 *
 * RAM: @SCRATCH@ bytes of scratch memory, and the stack. It is static, so that the linker counts it;
 * two threads must not call at once. Compile with -DDIGIT_STORAGE= to have it on the stack of each
 * caller instead, or with an attribute that names a section. */
#ifndef DIGIT_H
#define DIGIT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DIGIT_HEIGHT @HEIGHT@
#define DIGIT_WIDTH @WIDTH@
#define DIGIT_CHANNELS @CHANNELS@
#define DIGIT_INPUT_SIZE @INPUT@
#define DIGIT_CLASSES @CLASSES@
#define DIGIT_SCRATCH_SIZE @SCRATCH@
/* The least confidence of an answer, in 1/256; 0 accepts every image. */
#define DIGIT_THRESHOLD @THRESHOLD@

/* The names of the classes. */
extern const char *const digit_labels[DIGIT_CLASSES];

/* Compute the probability of each class, in 1/256; 255 also stands for 1. */
void digit_probabilities(const uint8_t image[DIGIT_INPUT_SIZE], uint8_t output[DIGIT_CLASSES]);

/* Return the most probable class, or -1 if its confidence is below DIGIT_THRESHOLD. The confidence
 * is its probability in 1/256. A null pointer leaves it out. */
int digit_predict(const uint8_t image[DIGIT_INPUT_SIZE], uint8_t *confidence);

#ifdef __cplusplus
}
#endif

#endif
