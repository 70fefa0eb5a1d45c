//! A figure: what was measured, what stands beside it, and the limit that is promised.

use std::fmt;

use crate::clock::Times;

/// One row of a table.
pub(crate) struct Figure {
    what: String,
    ours: String,
    beside: String,
    ratio: Option<Ratio>,
    limit: Limit,
}

/// The ratio of medians, with the lowest and the highest of single rounds.
#[derive(Clone, Copy)]
struct Ratio {
    value: f64,
    lowest: f64,
    highest: f64,
}

/// What a ratio is of, and what it must be.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    /// Of speeds, what stands beside it being 1: at least this.
    Speed(f64),
    /// Of times: at most this.
    Time(f64),
    /// Of bytes or numbers: at most this.
    Size(f64),
    /// Of speeds, without a limit: it explains another figure.
    Explains,
    /// Of times, without a limit: how much of the other one it is.
    Share,
}

impl Figure {
    /// Times of both sides. `bytes` is what either side handles in one round.
    pub(crate) fn times(
        what: impl Into<String>,
        ours: &Times,
        (beside, theirs): (&str, &Times),
        bytes: u64,
        limit: Limit,
    ) -> Self {
        let of = |ours: f64, theirs: f64| match limit {
            Limit::Speed(_) | Limit::Explains => theirs / ours,
            Limit::Time(_) | Limit::Size(_) | Limit::Share => ours / theirs,
        };
        let rounds = || ours.seconds().zip(theirs.seconds()).map(|(a, b)| of(a, b));
        let ratio = Ratio {
            value: of(ours.median(), theirs.median()),
            lowest: rounds().fold(f64::INFINITY, f64::min),
            highest: rounds().fold(f64::NEG_INFINITY, f64::max),
        };
        Self {
            what: what.into(),
            ours: rate(ours.median(), bytes),
            beside: format!("{beside}: {}", rate(theirs.median(), bytes)),
            ratio: Some(ratio),
            limit,
        }
    }

    /// Sizes in bytes of both sides, of which the highest counts.
    pub(crate) fn bytes(
        what: impl Into<String>,
        ours: u64,
        (beside, theirs): (&str, u64),
        limit: Limit,
    ) -> Self {
        let beside = format!("{beside}: {}", mebibytes(theirs));
        Self::sizes(what, (mebibytes(ours), ours), (beside, theirs), limit)
    }

    /// Numbers of things of both sides, as people read them and as they are compared.
    pub(crate) fn sizes(
        what: impl Into<String>,
        (ours, our_size): (String, u64),
        (beside, their_size): (String, u64),
        limit: Limit,
    ) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people to read")]
        let value = our_size as f64 / their_size as f64;
        let ratio = Some(Ratio { value, lowest: value, highest: value });
        Self { what: what.into(), ours, beside, ratio, limit }
    }

    /// A figure that could not be measured here.
    pub(crate) fn unmeasured(what: impl Into<String>, why: &str, limit: Limit) -> Self {
        let beside = format!("unmeasured: {why}");
        Self { what: what.into(), ours: String::new(), beside, ratio: None, limit }
    }

    /// Whether the limit holds; nothing where there is none, or nothing was measured.
    pub(crate) fn holds(&self) -> Option<bool> {
        let Ratio { value, .. } = self.ratio?;
        match self.limit {
            Limit::Speed(least) => Some(value >= least),
            Limit::Time(most) | Limit::Size(most) => Some(value <= most),
            Limit::Explains | Limit::Share => None,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ratio = self.ratio.map_or_else(|| "–".to_owned(), |ratio| ratio.to_string());
        let holds = match self.holds() {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "–",
        };
        let Self { what, ours, beside, limit, .. } = self;
        write!(f, "| {what} | {ours} | {beside} | {ratio} | {limit} | {holds} |")
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { value, lowest, highest } = *self;
        let digits = if value < 0.1 { 3 } else { 2 };
        write!(f, "{value:.digits$}")?;
        if lowest < highest {
            write!(f, " ({lowest:.digits$} to {highest:.digits$})")?;
        }
        Ok(())
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Speed(least) => write!(f, "speed ≥ {least}"),
            Self::Time(most) => write!(f, "time ≤ {most}"),
            Self::Size(most) => write!(f, "size ≤ {most}"),
            Self::Explains => write!(f, "speed, explains"),
            Self::Share => write!(f, "share, explains"),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
fn rate(seconds: f64, bytes: u64) -> String {
    let digits = if seconds < 10.0 { 2 } else { 1 };
    format!("{seconds:.digits$} s, {:.0} MB/s", bytes as f64 / 1e6 / seconds)
}

#[expect(clippy::cast_precision_loss, reason = "a size for people to read")]
pub(crate) fn mebibytes(bytes: u64) -> String {
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    let digits = if mebibytes < 10.0 { 2 } else { 0 };
    format!("{mebibytes:.digits$} MiB")
}

/// The figures of one group, as Markdown, with what is to be known of how they came about.
pub(crate) struct Table {
    pub(crate) notes: Vec<String>,
    pub(crate) figures: Vec<Figure>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for note in &self.notes {
            writeln!(f, "{note}\n")?;
        }
        writeln!(f, "| figure | keepsum | beside it | ratio (single rounds) | limit | holds |")?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for figure in &self.figures {
            writeln!(f, "{figure}")?;
        }
        Ok(())
    }
}
