// Classify the built-in images, check that every byte is right, and print the time of each.
#include <digit_vectors.h>

void setup() {
  Serial.begin(115200);
}

void loop() {
  for (int i = 0; i < DIGIT_VECTORS; i++) {
    uint8_t confidence;
    const unsigned long start = micros();
    const int digit = digit_predict(digit_vector_images[i], &confidence);
    const unsigned long microseconds = micros() - start;
    Serial.print(digit < 0 ? "none" : digit_labels[digit]);
    Serial.print(", confidence ");
    Serial.print(confidence);
    Serial.print("/256, ");
    Serial.print(microseconds);
    Serial.println(digit_vector_is_right(i) ? " us" : " us, WRONG BYTES");
  }
  delay(5000);
}
