/* number.h - numbers as they stand in specs ("gn:8", "leaky_relu:0.2"), the same in every locale. */
#ifndef TARE_LAYERS_NUMBER_H
#define TARE_LAYERS_NUMBER_H

#include <stdbool.h>
#include <stddef.h>

/* tare__number - the decimal number that `text` starts with, as 8, 0.25 or 1e-5; returns how many characters it takes, 0 where
 * there is none. Correctly rounded up to 15 digits and exponents within 22. */
size_t tare__number(const char *text, double *value);

/* tare__number_write - the shortest text that reads back as `value`, which is finite. */
void tare__number_write(double value, char *text, size_t size);

#endif
