/** Message-signalled interrupts on x86 (Intel SDM vol. 3, 11.11): the address says who gets it, the data what. */

/** Delivery modes, the same in MSIs, redirection table entries, ICR and LVTs (SDM vol. 3, table 11-18 and 11.5.1). */
export const DELIVERY_FIXED = 0;
export const DELIVERY_LOWEST_PRIORITY = 1;
export const DELIVERY_SMI = 2;
export const DELIVERY_NMI = 4;
export const DELIVERY_INIT = 5;
export const DELIVERY_STARTUP = 6;
export const DELIVERY_EXTINT = 7;

const ADDRESS_BASE = 0xfee0_0000;
const ADDRESS_LOGICAL = 1 << 2;
const DATA_ASSERT = 1 << 14;
const DATA_LEVEL = 1 << 15;

export function isMsiAddress(address: number): boolean {
  return address >>> 20 === ADDRESS_BASE >>> 20;
}

/** `destination` is 8 bits. */
export function msiAddress(destination: number, logical: boolean): number {
  return (ADDRESS_BASE | (destination << 12) | (logical ? ADDRESS_LOGICAL : 0)) >>> 0;
}

export function msiDestination(address: number): number {
  return (address >>> 12) & 0xff;
}

export function msiIsLogical(address: number): boolean {
  return (address & ADDRESS_LOGICAL) !== 0;
}

export function msiData(vector: number, deliveryMode: number, level: boolean): number {
  return vector | (deliveryMode << 8) | DATA_ASSERT | (level ? DATA_LEVEL : 0);
}

export function msiVector(data: number): number {
  return data & 0xff;
}

export function msiDeliveryMode(data: number): number {
  return (data >> 8) & 7;
}

export function msiIsLevel(data: number): boolean {
  return (data & DATA_LEVEL) !== 0;
}
