/** Offsets in the xAPIC page (Intel SDM vol. 3, table 11-1) and delivery modes of a local vector table entry. */
const LVT_LINT0 = 0x350;
const LVT_LINT1 = 0x360;
const DELIVERY_MODE_SHIFT = 8;
const DELIVERY_NMI = 4;
const DELIVERY_EXTINT = 7;

/**
 * Connects LINT0 to the 8259 pair (ExtINT) and LINT1 to NMI, as firmware leaves the local APIC of every vCPU. `page` is
 * the 1 KiB register page of `Vcpu.getLapic`; it is changed in place.
 */
export function setUpLapicPins(page: Uint8Array): void {
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  view.setUint32(LVT_LINT0, DELIVERY_EXTINT << DELIVERY_MODE_SHIFT, true);
  view.setUint32(LVT_LINT1, DELIVERY_NMI << DELIVERY_MODE_SHIFT, true);
}
