/** What data may be used for. The order is the bit order of {@link PurposeMask}; it never changes. */
export const purposes = ["necessary", "measurement", "profile", "personalisation", "prediction", "ads"] as const;
export type Purpose = (typeof purposes)[number];

/** One bit a purpose, in the order of {@link purposes}: necessary 1, measurement 2, profile 4, personalisation 8, prediction 16, ads 32. */
export type PurposeMask = number;

export const maskOf = (granted: Iterable<Purpose>): PurposeMask => {
  let mask = 0;
  for (const purpose of granted) mask |= 1 << purposes.indexOf(purpose);
  return mask;
};

export const hasPurpose = (mask: PurposeMask, purpose: Purpose): boolean =>
  (mask & (1 << purposes.indexOf(purpose))) !== 0;

export const purposesOf = (mask: PurposeMask): Purpose[] => purposes.filter((purpose) => hasPurpose(mask, purpose));
