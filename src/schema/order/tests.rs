//! Order, loops and boundaries over small made-up schemas.
