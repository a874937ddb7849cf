//! The fixed-point arithmetic of the format. `q16` in a name or comment says that 65,536 stands for one.
//!
//! Sound that an encoder made stays within 32 bits. What was made to harm does not, so sums wrap here, on purpose: the
//! sound of such a packet is noise anyway, and must be nothing worse.

/// `(a * b) / 65,536`, downwards.
pub fn mul_q16(a: i32, b: i32) -> i32 {
    ((i64::from(a) * i64::from(b)) >> 16) as i32
}

/// `(a * b) / 2^32`, downwards.
pub fn mul_q32(a: i32, b: i32) -> i32 {
    ((i64::from(a) * i64::from(b)) >> 32) as i32
}

/// `value / 2^bits`, to the nearest; half goes up. `bits` is 2 at least.
pub fn round_shift(value: i32, bits: u32) -> i32 {
    ((value >> (bits - 1)) + 1) >> 1
}

/// The nearest sample.
pub fn sample(value: i32) -> i16 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

/// `value * 2^bits`, the greatest or least number where that is none.
fn shl_saturating(value: i32, bits: u32) -> i32 {
    value.clamp(i32::MIN >> bits, i32::MAX >> bits) << bits
}

/// `value / 2^bits`; for negative `bits` the other way.
fn scale(value: i32, bits: i32) -> i32 {
    match bits {
        ..=0 => shl_saturating(value, bits.unsigned_abs().min(31)),
        1..32 => value >> bits,
        _ => 0,
    }
}

/// Spare bits above a number that is not 0.
fn headroom(value: i32) -> u32 {
    value.unsigned_abs().leading_zeros().saturating_sub(1)
}

/// 2^29 divided by the upper half of a number without headroom.
fn reciprocal(normal: i32) -> i32 {
    // The upper half of what is not 0 and has no headroom is never 0.
    (i32::MAX >> 2).checked_div(normal >> 16).unwrap_or(i32::MAX)
}

/// About `2^q / value`, as exact as the format has it; `value` is not 0.
pub fn inverse(value: i32, q: i32) -> i32 {
    let room = headroom(value);
    let normal = value << room;
    let guess = reciprocal(normal);
    let miss = mul_q16(normal, guess).wrapping_neg() << 3;
    let better = (guess << 16).wrapping_add(mul_q16(miss, guess));
    scale(better, 61 - room as i32 - q)
}

/// About `2^q * a / b`, as exact as the format has it; neither is 0.
pub fn divide(a: i32, b: i32, q: i32) -> i32 {
    let (room_a, room_b) = (headroom(a), headroom(b));
    let (normal_a, normal_b) = (a << room_a, b << room_b);
    let guess = reciprocal(normal_b);
    let first = mul_q16(normal_a, guess);
    let miss = normal_a.wrapping_sub(mul_q32(normal_b, first) << 3);
    let better = first.wrapping_add(mul_q16(miss, guess));
    scale(better, 29 + room_a as i32 - room_b as i32 - q)
}

/// About `2^(log / 128)`, by parabolas between the powers.
pub fn exp2_q7(log: i32) -> i32 {
    if log < 0 {
        return 0;
    }
    if log >= 31 << 7 {
        return i32::MAX;
    }
    let (whole, part) = (log >> 7, log & 127);
    let power = 1 << whole;
    let bent = part + mul_q16(part * (128 - part), -174);
    // The product does not fit from 2^16 on.
    if log < 2048 { power + ((power * bent) >> 7) } else { power + (power >> 7) * bent }
}

/// The next number of the generator that the signs of the excitation come from.
pub fn next_random(seed: i32) -> i32 {
    seed.wrapping_mul(196_314_165).wrapping_add(907_633_515)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn approximations_are_near_what_they_stand_for() {
        for value in [1, 2, 3, 7, 1000, 65_535, 65_536, 1 << 20, i32::MAX] {
            let exact = (2f64.powi(32) / f64::from(value)).min(f64::from(i32::MAX));
            let (found, fine) = (f64::from(inverse(value, 32)), exact * 1e-4 + 1.0);
            assert!((found - exact).abs() <= fine, "1/{value}: {found} for {exact}");
        }
        for (a, b) in [(2, 32_767), (32_767, 2), (500, 499), (-500, 499), (1, 1)] {
            let exact = 65_536.0 * f64::from(a) / f64::from(b);
            let found = f64::from(divide(a, b, 16));
            assert!((found - exact).abs() <= exact.abs() * 1e-4 + 1.0, "{a}/{b}: {found} for {exact}");
        }
        for log in [0, 1, 127, 128, 1000, 2047, 2048, 3000, 3967] {
            let exact = 2f64.powf(f64::from(log) / 128.0);
            let found = f64::from(exp2_q7(log));
            assert!((found - exact).abs() <= exact * 0.01 + 1.0, "2^({log}/128): {found} for {exact}");
        }
        assert_eq!((exp2_q7(-1), exp2_q7(1 << 20)), (0, i32::MAX));
        assert_eq!((sample(40_000), sample(-40_000)), (i16::MAX, i16::MIN));
    }
}
