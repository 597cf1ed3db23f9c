//! The exported functions, called as C would.

mod exports;
