use wgpu_dropout::gpu::{blocking, self_test};
use wgpu_dropout::DType;
fn main() {
    for a in blocking::adapters().unwrap() {
        let t = std::time::Instant::now();
        println!("{:?}", a.get_info().name);
        let gpu = blocking::Context::with_adapter(&a, &Default::default()).unwrap();
        println!("{:?}", gpu.kernels());
        let (d, q) = (gpu.kernels().device(), gpu.kernels().queue());
        let r = pollster::block_on(self_test::run(d, q, self_test::Coverage::Every, |_, _| {})).unwrap();
        let bad: Vec<_> = r.iter().filter(|c| c.difference.is_some()).collect();
        println!("{} comparisons, {} bad {:?}", r.len(), bad.len(), t.elapsed());
        for b in bad.iter().take(20) { println!("{} [{}]: {}", b.operation, b.kernels, b.difference.as_ref().unwrap()); }
        if std::env::args().nth(1).is_some() {
        for dt in DType::ALL {
            let t = std::time::Instant::now();
            let r = pollster::block_on(self_test::sweep(d, q, dt, |_, _| {})).unwrap();
            for c in &r { if let Some(x) = &c.difference { println!("{}: {x}", c.operation); } }
            println!("{dt} {} {:?}", r.len(), t.elapsed());
        }}
    }
}
