use naga::valid::{Capabilities, ValidationFlags, Validator};
use wgpu_dropout::gpu::Variant;
#[test]
fn all() {
    let t = std::time::Instant::now();
    let mut n = 0;
    for v in Variant::all() {
        let src = v.wgsl();
        let module = naga::front::wgsl::parse_str(&src).unwrap_or_else(|e| panic!("{v}\n{}", e.emit_to_string(&src)));
        let info = Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module).unwrap_or_else(|e| panic!("{v}\n{}", e.emit_to_string(&src)));
        let _ = info;
        n += 1;
    }
    println!("{n} {:?}", t.elapsed());
}
