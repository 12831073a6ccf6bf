// Found by the compiler only where libtorch is not: .cargo/config.toml puts this folder behind all others.
#error "libtorch is missing. In the workspace of vlm run: cargo xtask setup libtorch"
