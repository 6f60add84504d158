//! `tailcast check`: is this configuration valid, and what does it mean?

use crate::args::CheckArgs;
use tailcast_proxy::Config;

pub(super) fn run(args: &CheckArgs) -> anyhow::Result<()> {
    let config = Config::load(&args.config)?;
    super::print(&(config.summary().trim_end().to_owned() + "\n"))
}
