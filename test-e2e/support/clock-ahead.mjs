// Loaded before a process of ours by `--import`: its clock runs this many days ahead of the machine's.
const aheadMs = Number(process.env.POLDER_TEST_DAYS_AHEAD) * 86_400_000;
const MachineDate = Date;

globalThis.Date = class extends MachineDate {
  constructor(...given) {
    if (given.length === 0) super(MachineDate.now() + aheadMs);
    else super(...given);
  }
  static now() {
    return MachineDate.now() + aheadMs;
  }
};
