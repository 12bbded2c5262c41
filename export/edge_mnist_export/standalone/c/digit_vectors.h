/* Images and their outputs, to check digit.c on a board. Only the examples include this file. */
#ifndef DIGIT_VECTORS_H
#define DIGIT_VECTORS_H

#include <string.h>

#include "digit.h"

#define DIGIT_VECTORS @COUNT@

static const uint8_t digit_vector_images[DIGIT_VECTORS][DIGIT_INPUT_SIZE] = {
@IMAGES@
};

static const uint8_t digit_vector_outputs[DIGIT_VECTORS][DIGIT_CLASSES] = {
@OUTPUTS@
};

/* Return whether the model answers a vector as the computer that exported it did. */
static int digit_vector_is_right(int index)
{
    uint8_t output[DIGIT_CLASSES];

    digit_probabilities(digit_vector_images[index], output);
    return memcmp(output, digit_vector_outputs[index], sizeof output) == 0;
}

#endif
