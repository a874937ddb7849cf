#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| openclaw_weixin_fuzz::silk::check(data));
