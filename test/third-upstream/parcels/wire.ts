/** The bodies that Parcels answers with. Unknown fields are dropped. */
import { z } from 'zod';

/** Answer to a sign-in. */
export const tokenAnswer = z.object({ token: z.string().min(1) });

/** One parcel, as both operations give it. */
export const parcel = z.object({ id: z.string(), reference: z.string() });

/** Answer to a search. */
export const parcelList = z.object({ parcels: z.array(parcel) });
