/* no_entry.c - a shared object, but no plugin. */
int nothing(void);
int nothing(void) { return 0; }
