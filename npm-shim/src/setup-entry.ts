/** The light entry: what the channel is, for commands that do not run it. */
import { channelBase } from "./channel-base.js";

export default { plugin: channelBase };
