/* Images from standard input, outputs to standard output. */
#include <stdio.h>

#include "digit.h"

int main(void)
{
    static uint8_t image[DIGIT_INPUT_SIZE], output[DIGIT_CLASSES];

    while (fread(image, 1, sizeof image, stdin) == sizeof image) {
        digit_probabilities(image, output);
        if (fwrite(output, 1, sizeof output, stdout) != sizeof output) {
            return 1;
        }
    }
    return 0;
}
