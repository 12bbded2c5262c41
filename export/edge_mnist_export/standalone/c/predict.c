int digit_predict(const uint8_t image[DIGIT_INPUT_SIZE], uint8_t *confidence)
{
    uint8_t output[DIGIT_CLASSES];
    int best = 0;

    digit_probabilities(image, output);
    for (int i = 1; i < DIGIT_CLASSES; i++) {
        best = output[i] > output[best] ? i : best;
    }
    if (confidence) {
        *confidence = output[best];
    }
    return @ANSWER@;
}
