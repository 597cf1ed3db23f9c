#ifndef VECTORS_H
#define VECTORS_H

#include "fields.h"

/* Checks a vector; false if its kind is unknown. */
bool check_vector(const char *kind, struct record *vector);

#endif
