//! Random numbers that depend on a key and a position alone.
