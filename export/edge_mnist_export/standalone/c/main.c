/* Classify the built-in images, and check that every byte is right. */
#include <stdio.h>

#include "digit_vectors.h"

int main(void)
{
    int wrong = 0;

    for (int i = 0; i < DIGIT_VECTORS; i++) {
        uint8_t confidence;
        const int digit = digit_predict(digit_vector_images[i], &confidence);
        const int right = digit_vector_is_right(i);
        printf("image %d: %s, confidence %u/256%s\n", i, digit < 0 ? "none" : digit_labels[digit],
               (unsigned)confidence, right ? "" : ", WRONG BYTES");
        wrong += !right;
    }
    return wrong != 0;
}
